"""MMSegmentation's own configs train with RecallLoss after the change of a line in each head."""

import copy
import importlib.util
import types
from functools import lru_cache
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmseg')

import mmseg
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import point_head
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.functional import grid_sample

from mmseg_recall.engine.hooks.low_resolution_loss_hook import LowResolutionLossHook
from mmseg_recall.engine.hooks.replace_loss_hook import replace_losses
from mmseg_recall.losses import RecallLoss
from tests.tolerances import assert_relative

SCOPE = 'mmseg'

HAS_OPS = importlib.util.find_spec('mmcv._ext') is not None
CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
pytestmark = pytest.mark.skipif(
    not CONFIGS.exists(), reason='MMSegmentation is installed without its configs'
)

IMPORT = {'custom_imports': dict(imports='mmseg_recall', allow_failed_imports=False)}
RECALL = dict(type='RecallLoss')
WEAK_RECALL = dict(type='RecallLoss', loss_weight=0.4)
IN_DECODE_HEAD = {'model.decode_head.loss_decode': RECALL}
IN_BOTH = {**IN_DECODE_HEAD, 'model.auxiliary_head.loss_decode': RECALL}
ONE_CHANNEL = {
    f'model.{head}.{key}': value
    for head in ('decode_head', 'auxiliary_head')
    for key, value in dict(num_classes=2, out_channels=1, threshold=0.5).items()
}
SMALL_VIT = {
    'model.backbone.embed_dims': 64,
    'model.backbone.num_layers': 4,
    'model.backbone.out_indices': (0, 1, 2, 3),
    'model.neck.in_channels': [64] * 4,
}
SMALL_KNET = {
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.decode_head.kernel_generate_head.in_channels': 256,
    'model.auxiliary_head.in_channels': 128,
}
SIZE = 64
LARGE = 400  # MobileNetV3's head averages over windows of 49 in an eighth of it


def with_list(number, in_decode_head=IN_DECODE_HEAD):
    """The line in a decode head and in each of a list of auxiliary heads."""
    heads = {f'model.auxiliary_head.{index}.loss_decode': RECALL for index in range(number)}
    return {**in_decode_head, **heads}


def cascade(number):
    return {f'model.decode_head.{index}.loss_decode': RECALL for index in range(number)}


# What a user changes, as `--cfg-options` or in a config over `_base_`, head by head.
CASES = {
    'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'upernet/upernet_r50_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'ann/ann_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'isanet/isanet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024': IN_BOTH,
    'ccnet/ccnet_r50-d8_4xb2-40k_cityscapes-512x1024': IN_BOTH,
    'sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024': IN_DECODE_HEAD,
    'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512': IN_DECODE_HEAD,
    'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512': IN_DECODE_HEAD,
    'segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512': IN_DECODE_HEAD,
    'knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512': {
        'model.decode_head.kernel_generate_head.loss_decode': RECALL,
        'model.auxiliary_head.loss_decode': RECALL,
    },
    # Lists of auxiliary heads; STDC's third finds edges, which is not for a loss over classes.
    'bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024': with_list(2),
    'bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024': with_list(4),
    'icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832': with_list(2),
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024': with_list(2),
    'setr/setr_vit-l_mla_8xb1-80k_cityscapes-768x768': with_list(4),
    # The base has a sigmoid loss.
    'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024': {
        f'{head}.loss_decode': dict(RECALL, use_sigmoid=False)
        for head in ('model.decode_head', 'model.auxiliary_head.0', 'model.auxiliary_head.1')
    },
    # Cascades.
    'ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024': cascade(2),
    'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024': cascade(2),
    # Lists of losses.
    'unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_drive-64x64': {
        'model.decode_head.loss_decode.0': RECALL,
        'model.auxiliary_head.loss_decode': RECALL,
    },
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024': {
        'model.decode_head.loss_decode': [RECALL, WEAK_RECALL]
    },
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes': {
        'model.decode_head.loss_decode': [
            WEAK_RECALL,
            RECALL,
            dict(type='BoundaryLoss', loss_weight=20.0),
            RECALL,
        ]
    },
}
#: One config of each architecture that is not above, through ReplaceLossHook.
THROUGH_THE_HOOK = (
    'apcnet/apcnet_r50-d8_4xb4-80k_ade20k-512x512',
    'beit/beit-base_upernet_8xb2-160k_ade20k-640x640',
    'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680',
    'convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512',
    'dmnet/dmnet_r50-d8_4xb4-80k_ade20k-512x512',
    'dnlnet/dnl_r50-d8_4xb4-80k_ade20k-512x512',
    'dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512',
    'erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024',
    'fastfcn/fastfcn_r50-d32_jpu_psp_4xb4-80k_ade20k-512x512',
    'hrnet/fcn_hr18_4xb4-80k_isaid-896x896',
    'mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512',
    'mobilenet_v2/mobilenet-v2-d8_fcn_4xb4-160k_ade20k-512x512',
    'mobilenet_v3/mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024',
    'nonlocal_net/nonlocal_r50-d8_4xb4-80k_ade20k-512x512',
    'poolformer/fpn_poolformer_s36_8x4_512x512_40k_ade20k',
    'psanet/psanet_r50-d8_4xb4-80k_ade20k-512x512',
    'resnest/resnest_s101-d8_fcn_4xb4-160k_ade20k-512x512',
    'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'twins/twins_svt-b_uperhead_8xb2-160k_ade20k-512x512',
    'vit/vit_deit-b16_upernet_8xb2-80k_ade20k-512x512',
)
#: For LowResolutionLossHook: several outputs, lists of losses, class weights, pixel samplers.
AT_LOW_RESOLUTION = (
    'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680',
    'danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    'deeplabv3/deeplabv3_r101-d16-mg124_4xb2-40k_cityscapes-512x1024',
    'encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512',
    'ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024',
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes',
    'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024',
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024',
)
NEEDS_MMPRETRAIN = ('convnext', 'poolformer')
SMALL_IMAGES = {'model.backbone.img_size': (64, 64)}
SMALLER = {
    'fastfcn/fastfcn_r50-d32_jpu_psp_4xb4-80k_ade20k-512x512': {},
    'beit/beit-base_upernet_8xb2-160k_ade20k-640x640': SMALL_IMAGES,
    'mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512': SMALL_IMAGES,
    'setr/setr_vit-l_mla_8xb1-80k_cityscapes-768x768': SMALL_VIT,
    'knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512': SMALL_KNET,
}
CHANNELS = ('in_channels', 'c1_in_channels', 'channels', 'mid_channels', 'out_channels')


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def shrink(part, factor=8):
    """An eighth of the channels, in a model's necks and heads."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key not in CHANNELS:
                shrink(value, factor)
            elif isinstance(value, int):
                part[key] = value // factor
            else:
                part[key] = [number // factor for number in value]
    elif isinstance(part, (list, tuple)):
        for child in part:
            shrink(child, factor)


def forget_pretrained(part):
    """No weights to download."""
    if isinstance(part, dict):
        for key in {'pretrained', 'init_cfg'} & set(part):
            part[key] = None
        part = list(part.values())
    for child in part if isinstance(part, (list, tuple)) else ():
        forget_pretrained(child)


@lru_cache
def read(config):
    return Config.fromfile(CONFIGS / f'{config}.py')


def small(config, changes=()):
    """The config with a smaller network, where that is a matter of a few numbers."""
    cfg = copy.deepcopy(read(config))
    cfg.merge_from_dict({**IMPORT, **dict(changes), **SMALLER.get(config, {})})
    forget_pretrained(cfg.model)
    backbone = cfg.model.backbone
    if backbone.type == 'ResNetV1c' and config not in SMALLER:
        backbone.update(base_channels=8, stem_channels=8)
        for name in ('neck', 'decode_head', 'auxiliary_head'):
            shrink(cfg.model.get(name))
    return cfg


def build(config, changes):
    cfg = small(config, changes)
    torch.manual_seed(0)
    return revert_sync_batchnorm(MODELS.build(cfg.model))


def batch(classes, size=SIZE):
    """Two random images; part of the labels is ignored."""
    samples = []
    for _ in range(2):
        labels = torch.randint(0, classes, (1, size, size))
        labels[:, :8] = 255
        sample = SegDataSample(metainfo=dict(img_shape=(size, size)))
        sample.gt_sem_seg = PixelData(data=labels)
        sample.gt_edge_map = PixelData(data=torch.randint(0, 2, (1, size, size)))  # PIDNet's
        samples.append(sample)
    return torch.randn(2, 3, size, size), samples


def step(model, classes, size=SIZE):
    losses = model.train().loss(*batch(classes, size))
    total = sum(value for key, value in losses.items() if 'loss' in key)
    assert total.isfinite() and total > 0
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    for part in (model.backbone, model.decode_head):
        gradients = [p.grad.abs().max() for p in part.parameters() if p.grad is not None]
        assert gradients and max(gradients) > 0
    return losses


def number_of(changes):
    return sum(
        len([one for one in loss if one['type'] == 'RecallLoss']) if isinstance(loss, list) else 1
        for key, loss in changes.items()
        if 'loss_decode' in key
    )


@pytest.fixture
def point_sample(monkeypatch):
    """What PointRend takes from mmcv.ops, where mmcv has none: bilinear values at points."""
    if not HAS_OPS:

        def sample(values, points, align_corners=False, **kwargs):
            grid = 2 * points.unsqueeze(2) - 1
            return grid_sample(values, grid, align_corners=align_corners, **kwargs).squeeze(3)

        monkeypatch.setattr(point_head, 'point_sample', sample)


@pytest.mark.parametrize('config', CASES, ids=lambda config: config.split('/')[1].split('_')[0])
def test_trains(config, point_sample):
    if config.startswith('ccnet') and not HAS_OPS:
        pytest.skip('CCHead needs the compiled operations of mmcv')
    model = build(config, CASES[config])
    head = model.decode_head
    last = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    losses = step(model, last.num_classes)
    found = [part for part in model.modules() if isinstance(part, RecallLoss)]
    assert len(found) == number_of(CASES[config])
    assert sum('loss' in key for key in losses) >= len(found)


@pytest.mark.parametrize('config', THROUGH_THE_HOOK, ids=lambda config: config.split('/')[0])
@pytest.mark.filterwarnings('ignore')
def test_trains_through_the_hook(config):
    """Heads of other names and shapes: the hook finds their losses."""
    if config.startswith(NEEDS_MMPRETRAIN):
        pytest.importorskip('mmpretrain')
    if config.startswith('psanet') and not HAS_OPS:
        pytest.skip('its head needs the compiled operations of mmcv')
    if config.startswith('dnlnet') and mmseg.__version__.startswith('1.2'):
        pytest.skip('its head changes in place what backward needs, with any loss')
    model = build(config, {})
    rows = replace_losses(model, RECALL, ('CrossEntropyLoss',))
    size = LARGE if config.startswith('mobilenet_v3') else SIZE
    losses = step(model, model.decode_head.num_classes, size)
    assert sum('loss_recall' in key for key in losses) == len(rows)


@pytest.mark.parametrize('config', AT_LOW_RESOLUTION, ids=lambda config: config.split('/')[0])
@pytest.mark.filterwarnings('ignore')
def test_low_resolution_is_the_same(config, point_sample):
    """As it is shipped: every loss and its name, and the gradient.

    In float64: batch norm of a few small images makes large differences of float32's roundings.
    PointRend's points are float32.
    """
    dtype = torch.float32 if config.startswith('point_rend') else torch.float64
    stock = build(config, {}).to(dtype).train()
    for part in stock.modules():
        if isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)):
            part.p = 0.0
    served = copy.deepcopy(stock)
    hook = LowResolutionLossHook(unsupported='stock' if config.startswith('stdc') else 'error')
    hook.before_train(types.SimpleNamespace(model=served))
    head = stock.decode_head
    classes = (head[-1] if isinstance(head, torch.nn.ModuleList) else head).num_classes
    torch.manual_seed(1)
    images, samples = batch(classes)
    if config.startswith(('cgnet', 'pidnet')) and mmseg.__version__.startswith('1.2'):
        for sample in samples:  # OpenMMLab's class weights stop at ignored labels
            sample.gt_sem_seg.data.clamp_(max=classes - 1)
    both = []
    for model in (stock, served):
        torch.manual_seed(2)  # PointRend draws points
        losses = model.loss(images.to(dtype), samples)
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        both.append((losses, torch.cat(gradients)))
    assert list(both[0][0]) == list(both[1][0])
    for name, value in both[0][0].items():
        torch.testing.assert_close(both[1][0][name].to(value), value, rtol=1e-6, atol=1e-6)
    assert_relative(both[1][1], both[0][1], 1e-5)


@pytest.mark.skipif(not HAS_OPS, reason='its head needs the compiled operations of mmcv')
def test_san_trains_through_the_hook():
    """Its loss of what a mask holds is replaced, those of masks stay; no CLIP reads words here."""

    @MODELS.register_module(force=True)
    class Words(torch.nn.Embedding):
        def __init__(self, **kwargs):
            super().__init__(21, 512)  # of 20 classes, and of none of them

        def forward(self):
            return torch.nn.functional.normalize(self.weight, dim=1)

    cfg = copy.deepcopy(read('san/san-vit-b16_voc12aug-640x640'))
    forget_pretrained(cfg.model)
    cfg.model.text_encoder.type = 'Words'
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    rows = replace_losses(model, RECALL, ('CrossEntropyLoss',))
    assert [new for _, _, new, _ in rows] == ['RecallLoss', '', '']
    losses = model.train().loss(*batch(20, 128))
    assert {'decode.loss_cls_ce', 'decode.loss_mask_ce', 'decode.loss_mask_dice'} <= set(losses)
    sum(losses.values()).backward()
    parameters = list(model.decode_head.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in parameters)


def test_number_of_decode_heads():
    heads = set()
    for config in CASES:
        head = read(config).model.decode_head
        heads |= {one.type for one in (head if isinstance(head, list) else [head])}
    assert len(heads) >= 12


@pytest.mark.filterwarnings('ignore:For binary segmentation')
def test_binary_with_one_channel():
    config = 'unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64'
    model = build(config, {**ONE_CHANNEL, **IN_BOTH})
    assert model.decode_head.conv_seg.out_channels == 1
    losses = step(model, classes=2)
    assert {'decode.loss_recall', 'aux.loss_recall'} <= set(losses)


def test_over_a_sigmoid_loss():
    """Fast-SCNN's base has one: the line alone stops with a message that names the setting."""
    config = 'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024'
    with pytest.raises(ValueError, match='use_sigmoid must be one of False, but got True'):
        build(config, IN_DECODE_HEAD)
