"""Every config that MMSegmentation ships: the two lines of README, and the hooks for losses."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmseg')

import mmseg
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_recall.engine.hooks.replace_loss_hook import replace_losses
from mmseg_recall.losses import RecallLoss
from mmseg_recall.models.heads.low_resolution import why_not

SCOPE = 'mmseg'
CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
HAS_OPS = importlib.util.find_spec('mmcv._ext') is not None
#: Of one class per position none of their losses is: masks (of MMDetection), and depth.
OTHER_TASKS = ('mask2former', 'maskformer', 'vpd')
NEEDS_OPS = ('ccnet', 'point_rend', 'psanet', 'san')
FAMILIES = sorted(
    path.name for path in CONFIGS.glob('*') if path.is_dir() and path.name != '_base_'
)
LINE = dict(type='RecallLoss')
#: How many configs of a family README's line doesn't fit: losses or heads in lists, class weights.
WITHOUT_THE_LINE = dict(
    cgnet=2, ddrnet=2, fastscnn=1, knet=7, ocrnet=24, pidnet=3, point_rend=4, san=6, unet=12
)
#: Fast-SCNN has a sigmoid for each class; `use_sigmoid=False` in the line (test_any_config.py).
WITHOUT_THE_HOOK = dict(fastscnn=1)
#: LowResolutionLossHook: a sigmoid for each class, STDC's head of edges, SAN's of masks.
WITHOUT_LOW_RESOLUTION = dict(fastscnn=1, san=6, stdc=4)
REPLACED = ('CrossEntropyLoss', 'OhemCrossEntropy')


def build_heads(model):
    """The heads of a model's config: on no device where they can be built there."""
    heads = nn.Module()
    for key in ('decode_head', 'auxiliary_head'):
        config = model.get(key) or []
        several = config if isinstance(config, (list, tuple)) else [config]
        setattr(heads, key, nn.ModuleList([_build(one) for one in several]))
    return heads


def _build(config):
    for part in _dicts(config):
        part.pop('init_cfg', None)
    try:
        with torch.device('meta'):
            return MODELS.build(config)
    except (RuntimeError, NotImplementedError):
        return MODELS.build(config)


def _dicts(part):
    if isinstance(part, dict):
        yield part
    for child in part.values() if isinstance(part, dict) else part:
        if isinstance(child, (dict, list, tuple)):
            yield from _dicts(child)


def takes_the_line(config):
    """Whether README's line for the decode head merges, builds, and has its effect."""
    try:
        config.merge_from_dict({'model.decode_head.loss_decode': LINE})
        head = _build(config.model.decode_head)
    except (TypeError, ValueError):
        return False
    return any(isinstance(loss, RecallLoss) for loss in head.modules())


def takes_the_hooks(config):
    """ReplaceLossHook; and LowResolutionLossHook all heads, alone and together with it."""
    heads = build_heads(config.model)
    served = at_low_resolution(heads)
    rows = replace_losses(heads, dict(type='RecallLoss'), REPLACED)
    assert all(new or note for _, _, new, note in rows)
    replaced = any(isinstance(loss, RecallLoss) for loss in heads.decode_head.modules())
    return replaced, served and at_low_resolution(heads)


def at_low_resolution(heads):
    return not any(why_not(head) for head in heads.modules() if isinstance(head, BaseDecodeHead))


@pytest.mark.skipif(not CONFIGS.exists(), reason='MMSegmentation is installed without its configs')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('family', FAMILIES)
def test_takes_the_line_or_the_hooks(family):
    if family in OTHER_TASKS:
        pytest.skip('its losses are of masks or of depth, not of one class per position')
    if family in NEEDS_OPS and not HAS_OPS:
        pytest.skip('its head needs the compiled operations of mmcv')
    lines, hooks, low = {}, {}, {}
    configs = [Config.fromfile(path) for path in sorted((CONFIGS / family).glob('*.py'))]
    assert configs
    with DefaultScope.overwrite_default_scope('mmseg'):
        for config in configs:  # many differ in the backbone and the data alone
            heads = repr([config.model.get(key) for key in ('decode_head', 'auxiliary_head')])
            config.heads = heads
            if heads not in lines:
                hooks[heads], low[heads] = takes_the_hooks(copy.deepcopy(config))
                lines[heads] = takes_the_line(copy.deepcopy(config))
    without_line = sum(not lines[config.heads] for config in configs)
    without_hook = sum(not hooks[config.heads] for config in configs)
    without_low = sum(not low[config.heads] for config in configs)
    assert without_line == WITHOUT_THE_LINE.get(family, 0)
    assert without_hook == WITHOUT_THE_HOOK.get(family, 0)
    assert without_low == WITHOUT_LOW_RESOLUTION.get(family, 0)
