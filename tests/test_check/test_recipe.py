"""How MMSegmentation's configs take the loss: what is written trains."""

import copy

import pytest

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmseg_recall.check import check, plan_recipe
from mmseg_recall.check.recipe import source
from mmseg_recall.files import InputError
from mmseg_recall.losses import RecallLoss
from tests.test_check.written_configs import check_and_train, tiny
from tests.test_configs.test_any_config import CONFIGS
from tests.toy_runner import toy_config

SCOPE = 'mmseg'
CROSS_ENTROPY = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
LINE = dict(type='RecallLoss')
#: One for each way; all architectures were tried once, see docs/check.md.
SAMPLE = {
    'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024': ('lines', 2),
    'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024': ('lines', 1),
    'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680': ('lines', 1),
    'ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024': ('hook', 2),
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024': ('hook', 2),
}


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.mark.skipif(not CONFIGS.exists(), reason='MMSegmentation is installed without its configs')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('config', SAMPLE, ids=lambda config: config.split('/')[0])
def test_what_is_written_trains(config, tmp_path):
    way, number = SAMPLE[config]
    report, runner = check_and_train(config, tmp_path)
    assert report.way == way
    assert runner.iter == 2
    assert sum(isinstance(part, RecallLoss) for part in runner.model.modules()) == number
    assert report.logits['full_resolution_mib'] > report.logits['low_resolution_mib']


@pytest.mark.skipif(not CONFIGS.exists(), reason='MMSegmentation is installed without its configs')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'config',
    [
        'mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024',
        'maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512',
    ],
    ids=lambda config: config.split('/')[0],
)
def test_models_of_masks_have_half_a_report(config, tmp_path):
    pytest.importorskip('mmdet')
    report = check(tiny(config, tmp_path))
    assert report.way == 'neither' and report.logits is None
    assert 'It predicts masks and a class for each mask' in report.sentences['Model'][1]
    assert sum(row.count for row in report.classes) > 0 and not report.sentences['Memory']


def plan(tmp_path, loss_decode, **overrides):
    cfg = toy_config(tmp_path, loss_decode, **overrides)
    return cfg, plan_recipe(cfg, MODELS.build(copy.deepcopy(cfg.model)))


def test_the_line_alone_where_the_rest_may_stay(tmp_path):
    _, recipe = plan(tmp_path, CROSS_ENTROPY)
    assert recipe.lines == {'decode_head.loss_decode': LINE}
    assert recipe.model == dict(decode_head=dict(loss_decode=LINE))
    assert recipe.low_resolution == 'all'


def test_delete_where_it_may_not(tmp_path):
    _, recipe = plan(tmp_path, dict(CROSS_ENTROPY, class_weight=[1.0] * 10, loss_weight=0.5))
    line = dict(_delete_=True, type='RecallLoss', loss_weight=0.5)
    assert recipe.lines == {'decode_head.loss_decode': line}


def test_a_list_of_losses_needs_the_hook(tmp_path):
    losses = [dict(CROSS_ENTROPY, loss_name='loss_ce'), dict(type='LovaszLoss', reduction='none')]
    _, recipe = plan(tmp_path, losses)
    assert (recipe.way, recipe.replace) == ('hook', ('CrossEntropyLoss',))
    assert recipe.stays == {
        'decode_head.loss_decode.1': 'LovaszLoss: its type is not named in replace'
    }


@pytest.mark.parametrize(
    ('loss', 'way', 'reason'),
    [(LINE, 'already', 'it has one'), (dict(type='DiceLoss'), 'neither', 'no loss to replace')],
)
def test_nothing_to_write(loss, way, reason, tmp_path):
    cfg, recipe = plan(tmp_path, loss)
    assert recipe.way == way
    cfg.dump(tmp_path / 'base.py')
    cfg = Config.fromfile(tmp_path / 'base.py')
    with pytest.raises(InputError, match=f'cannot be given a RecallLoss: .*{reason}'):
        recipe.write(cfg, tmp_path / 'recall.py')


def test_hooks_and_imports_of_the_base_stay(tmp_path):
    cfg, recipe = plan(
        tmp_path,
        CROSS_ENTROPY,
        custom_imports=dict(imports='mmseg.models'),
        custom_hooks=[dict(type='LabelCheckHook', num_batches=3)],
    )
    base, written = tmp_path / 'base.py', tmp_path / 'sub/recall.py'
    cfg.dump(base)
    recipe.write(Config.fromfile(base), written)
    inherited = Config.fromfile(written)
    assert inherited.custom_imports.imports == ['mmseg.models', 'mmseg_recall']
    assert [hook.type for hook in inherited.custom_hooks] == [
        'LabelCheckHook',
        'RecallWeightsHook',
        'LowResolutionLossHook',
    ]
    assert inherited.custom_hooks[0].num_batches == 3
    assert inherited.model.decode_head.loss_decode == dict(CROSS_ENTROPY, type='RecallLoss')


def test_inside_the_working_directory_the_base_is_relative(tmp_path, monkeypatch):
    cfg, recipe = plan(tmp_path, CROSS_ENTROPY)
    cfg.dump(tmp_path / 'base.py')
    cfg = Config.fromfile(tmp_path / 'base.py')
    monkeypatch.chdir(tmp_path)
    recipe.write(cfg, 'mine/recall.py')
    assert "_base_ = '../base.py'" in (tmp_path / 'mine/recall.py').read_text()


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [('recall.txt', 'must be a .py file'), ('base.py', 'another file than the config')],
)
def test_a_path_that_cannot_be_written(name, sentence, tmp_path):
    cfg, recipe = plan(tmp_path, CROSS_ENTROPY)
    cfg.dump(tmp_path / 'base.py')
    with pytest.raises(InputError, match=sentence):
        recipe.write(Config.fromfile(tmp_path / 'base.py'), tmp_path / name)


def test_a_config_of_the_new_style(tmp_path):
    _, recipe = plan(tmp_path, CROSS_ENTROPY)
    path = tmp_path / 'new.py'
    path.write_text('from torch.optim import SGD\noptimizer = dict(type=SGD)\n')
    with pytest.raises(InputError, match='of the new style'):
        recipe.write(Config.fromfile(path), tmp_path / 'recall.py')


def test_source():
    assert source(dict(a=[1], b=dict(c='d'))) == "dict(a=[1], b=dict(c='d'))"
