"""The configs of the recall loss paper's Tables 2 and 3: its setting, and a step of each."""

import copy
import json
import math
import pickle
import re
import runpy
import sys
from functools import lru_cache

import pytest
import torch
import yaml

pytest.importorskip('mmseg')

from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import RUNNERS, DefaultScope
from mmseg.registry import DATASETS, METRICS, MODELS

import mmseg_recall  # noqa: F401
from tests.test_configs.cityscapes_tree import write_cityscapes
from tests.test_configs.test_configs import check_inference
from tests.test_tools.paths import ROOT, TOOLS
from tests.test_tools.synthia_tree import write_synthia

SCOPE = 'mmseg'

SYNTHIA = sorted((ROOT / 'configs/synthia').glob('*.py'))
CITYSCAPES = sorted((ROOT / 'configs/cityscapes').glob('*.py'))
LOSSES = {
    'ce': dict(type='CrossEntropyLoss', use_sigmoid=False, avg_non_ignore=True, loss_weight=1.0),
    'softiou': dict(type='SoftIoULoss'),
    'lovasz': dict(type='LovaszLoss', per_image=False, reduction='none'),
    'ohem': dict(type='OHEMLoss', keep_ratio=0.7),
    'cb': dict(type='ClassBalancedLoss', class_counts='auto'),
    'focal': dict(type='SoftmaxFocalLoss', gamma=1.0),
    'recall': dict(type='RecallLoss'),
}
SMALL = {
    'model.pretrained': None,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.decode_head.channels': 8,
    'train_dataloader.batch_size': 2,
    **{
        f'{part}_dataloader.{key}': value
        for part in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', False))
    },
}
SMALL_SYNTHIA = {
    'model.data_preprocessor.size': (32, 48),
    **{
        f'{part}_dataloader.dataset.pipeline.{index}.scale': (48, 32)
        for part, index in (('train', 2), ('val', 1), ('test', 1))
    },
}
SMALL_CITYSCAPES = {
    'model.data_preprocessor.size': (33, 33),
    'train_dataloader.dataset.pipeline.2.scale': (65, 33),
    'train_dataloader.dataset.pipeline.3.crop_size': (33, 33),
    'val_dataloader.dataset.pipeline.1.scale': (65, 33),
    'test_dataloader.dataset.pipeline.1.scale': (65, 33),
}


@pytest.fixture(scope='session')
def synthia(tmp_path_factory):
    folder = tmp_path_factory.mktemp('synthia')
    sequence = write_synthia(folder, frames=10, size=(32, 48))
    tool = runpy.run_path(str(TOOLS / 'dataset_converters/synthia_seq.py'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['', str(sequence), '--out-dir', str(folder / 'ready')])
        tool['main']()
    return folder / 'ready'


@pytest.fixture
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='session')
def cityscapes(tmp_path_factory):
    return write_cityscapes(tmp_path_factory.mktemp('cityscapes'))


@pytest.fixture(scope='session')
def data_roots(synthia, cityscapes):
    return dict(synthia=synthia, cityscapes=cityscapes)


def name(path):
    return path.stem.removeprefix('deeplabv3_').rsplit('_', 1)[0]


@lru_cache
def read(config):
    return Config.fromfile(config)


def load(config):
    return copy.deepcopy(read(config))


def small(config, data_roots):
    cfg = load(config)
    if cfg.optim_wrapper.type == 'AmpOptimWrapper' and not torch.cuda.is_available():
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
        del cfg.optim_wrapper.loss_scale
    cfg.model.decode_head.in_channels = 64 if cfg.model.backbone.depth == 18 else 256
    of_data = SMALL_SYNTHIA if config.parent.name == 'synthia' else SMALL_CITYSCAPES
    cfg.merge_from_dict({**SMALL, **of_data})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_roots[config.parent.name])
    return cfg


@lru_cache
def samples(dataset, number):
    """A batch of a dataset that many configs have in common."""
    built = DATASETS.build(pickle.loads(dataset))
    return pseudo_collate([built[index] for index in range(number)]), built.metainfo


def batch(loader):
    return samples(pickle.dumps(loader.dataset.to_dict()), loader.batch_size)


@pytest.mark.parametrize('config', SYNTHIA + CITYSCAPES, ids=name)
def test_one_step_of_training_and_of_test(config, data_roots, mmseg_scope):
    cfg = small(config, data_roots)
    loss = cfg.model.decode_head.loss_decode
    if loss.get('class_counts') == 'auto':  # see test_whole_runs
        loss.class_counts = list(range(1, 1 + cfg.model.decode_head.num_classes))
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    data, metainfo = batch(cfg.train_dataloader)
    assert len(metainfo['classes']) == cfg.model.decode_head.num_classes
    losses = model.train().train_step(data, optim_wrapper)
    assert losses['loss'] > 0 and losses['loss'].isfinite()
    for key, value in model.named_parameters():
        assert value.isfinite().all(), key
        assert not torch.equal(value, before[key]) or key.endswith('bn.bias'), key
    data, metainfo = batch(cfg.test_dataloader)
    with torch.no_grad():
        found = model.eval().test_step(data)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = metainfo
    metric.process(data, [sample.to_dict() for sample in found])
    scores = metric.evaluate(len(found))
    assert {'mIoU', 'mAcc', 'gmean_acc', 'hmean_acc', 'lowest_acc'} <= set(scores)
    assert 0 <= scores['mIoU'] <= 100


@pytest.mark.parametrize('configs', [SYNTHIA, CITYSCAPES], ids=['synthia', 'cityscapes'])
def test_inference_on_images_of_ones_own(configs, data_roots, tmp_path):
    """MMSegmentation's own API, with a file and with an array: labels of the image's own size."""
    (config,) = (path for path in configs if re.match(r'r18-d8_1xb6-recall-\d+k', name(path)))
    cfg = small(config, data_roots)
    cfg.merge_from_dict({'test_pipeline.1.scale': cfg.test_dataloader.dataset.pipeline[1].scale})
    check_inference(cfg, cfg.model.decode_head.num_classes, tmp_path)


@pytest.mark.parametrize('loss', ['cb', 'recall'])
@pytest.mark.parametrize('configs', [SYNTHIA, CITYSCAPES], ids=['synthia', 'cityscapes'])
def test_whole_runs(configs, loss, data_roots, tmp_path):
    """With the runner and its hooks: training, the counts of the classes, validation, test."""
    (config,) = (path for path in configs if re.match(rf'r18-d8_1xb6-{loss}-\d+k', name(path)))
    cfg = small(config, data_roots)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'default_hooks.logger.interval': 1})
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.indices = 2
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = cfg.visualizer.name = f'{config.stem}_{tmp_path.name}'
    runner = RUNNERS.build(cfg)
    runner.train()
    assert 'mIoU' in runner.test()
    (best,) = tmp_path.glob('best_mIoU_iter_1.pth')
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    first = json.loads(scalars.read_text().splitlines()[0])
    assert math.isfinite(first['loss']) and first['loss'] > 0
    if loss == 'cb':
        counts = runner.model.decode_head.loss_decode.class_counts
        assert counts.numel() == cfg.model.decode_head.num_classes and counts.min() > 0


@pytest.mark.parametrize('folder', ['synthia', 'cityscapes'])
def test_all_losses_of_the_papers_tables(folder, mmseg_scope):
    """R Tables 2 and 3: seven losses, two networks, and nothing else differs between them."""
    iterations, data = dict(
        synthia=('100k', 'synthia-768x384'), cityscapes=('90k', 'cityscapes-769x769')
    )[folder]
    for depth in (18, 101):
        seen = set()
        for loss, expected in LOSSES.items():
            file = f'deeplabv3_r{depth}-d8_1xb6-{loss}-{iterations}_{data}.py'
            cfg = load(ROOT / 'configs' / folder / file)
            head = cfg.model.decode_head
            found = dict(head.loss_decode)
            head.loss_decode = LOSSES['ce']
            found.pop('beta', None)
            assert found == expected
            for key in ('custom_hooks', 'loss'):  # 'loss': of _base_/losses
                cfg.pop(key, None)
            seen.add(repr(cfg.to_dict()))
            assert cfg.model.backbone.depth == depth
            assert cfg.model.pretrained == f'open-mmlab://resnet{depth}_v1c'
            assert 'auxiliary_head' not in cfg.model
        assert len(seen) == 1
        with torch.device('meta'):  # at its full size, without the memory
            model = MODELS.build(cfg.model)
        assert model.decode_head.in_channels == model.backbone.feat_dim


@pytest.mark.parametrize('config', SYNTHIA + CITYSCAPES, ids=name)
def test_setting_of_the_paper(config):
    """R A.2: Adam without annealing; Synthia 1e-3, 100k, 768 x 384; Cityscapes 1e-4, 90k, 769."""
    cfg = load(config)
    of_synthia = config.parent.name == 'synthia'
    transforms = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    if of_synthia:
        assert cfg.model.decode_head.num_classes == 13
        assert transforms['Resize'].scale == (768, 384) and 'RandomFlip' not in transforms
        assert cfg.model.data_preprocessor.size == (384, 768)
    else:
        assert cfg.model.decode_head.num_classes == 19
        assert transforms['RandomCrop'].crop_size == cfg.model.data_preprocessor.size == (769, 769)
    optimizer = dict(cfg.optim_wrapper.optimizer)
    if '4xb2-recall-sgd' in config.stem:
        assert cfg.train_dataloader.batch_size == 2 and cfg.train_cfg.max_iters == 80000
        assert optimizer == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
        (schedule,) = cfg.param_scheduler
        assert (schedule.type, schedule.power, schedule.end) == ('PolyLR', 0.9, 80000)
        return
    assert cfg.train_dataloader.batch_size == 6 and 'param_scheduler' not in cfg
    assert cfg.train_cfg.max_iters == (100000 if of_synthia else 90000)
    assert optimizer == dict(type='Adam', lr=1e-3 if of_synthia else 1e-4)


def test_extra_recall_configs():
    for folder, iterations in ((SYNTHIA, '100k'), (CITYSCAPES, '90k')):
        assert len(folder) == 14 + 3
        extra = {name(path): load(path) for path in folder}
        ema = extra[f'r18-d8_1xb6-recall-ema-{iterations}']
        assert 0 < ema.model.decode_head.loss_decode.alpha < 1
        amp = extra[f'r18-d8_1xb6-recall-amp-{iterations}']
        assert amp.optim_wrapper.type == 'AmpOptimWrapper'


@pytest.mark.parametrize('configs', [SYNTHIA, CITYSCAPES], ids=['synthia', 'cityscapes'])
def test_data_root(configs, monkeypatch):
    config = configs[0]
    variable, default = dict(
        synthia=('SYNTHIA_SEQ_ROOT', 'data/synthia_seq'),
        cityscapes=('CITYSCAPES_ROOT', 'data/cityscapes'),
    )[config.parent.name]
    for root in (default, 'elsewhere'):
        monkeypatch.delenv(variable, raising=False)
        if root != default:
            monkeypatch.setenv(variable, root)
        cfg = Config.fromfile(config)
        loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        assert {loader.dataset.data_root for loader in loaders} == {root}


@pytest.mark.parametrize('configs', [SYNTHIA, CITYSCAPES], ids=['synthia', 'cityscapes'])
def test_documents_name_every_config(configs):
    folder = configs[0].parent
    readme = (folder / 'README.md').read_text()
    linked = re.findall(r'\]\(([^)/]+\.py)\)', readme)
    assert sorted(linked) == [path.name for path in configs]
    assert set(re.findall(r'deeplabv3_r[\w.-]+\.py', readme)) == set(linked)
    metafile = yaml.safe_load((folder / 'metafile.yml').read_text())
    (collection,) = (part['Name'] for part in metafile['Collections'])
    entries = {entry['Name']: entry for entry in metafile['Models']}
    assert sorted(entries) == sorted(path.stem for path in configs)
    for path in configs:
        entry, cfg = entries[path.stem], load(path)
        assert entry['In Collection'] == collection
        assert entry['Config'] == path.relative_to(ROOT).as_posix()
        about = entry['Metadata']
        assert about['Training Techniques'] == [cfg.model.decode_head.loss_decode.type]
        assert about['Iterations'] == cfg.train_cfg.max_iters
        assert about['Architecture'][0] == f'R-{cfg.model.backbone.depth}-D8'
        gpus, images = map(int, re.search(r'_(\d+)xb(\d+)-', path.stem).groups())
        assert cfg.train_dataloader.batch_size == images and about['Batch Size'] == gpus * images


@pytest.mark.parametrize('configs', [SYNTHIA, CITYSCAPES], ids=['synthia', 'cityscapes'])
def test_losses_as_released(configs, mmseg_scope):
    """The options that README gives to the losses of the released code are those of the losses."""
    readme = (configs[0].parent / 'README.md').read_text()
    _, table = readme.split('### The losses as released')
    changed = []
    for loss, options in re.findall(r'^\| (\w+) \|.*\| ([^|]*) \|$', table, re.MULTILINE):
        pairs = re.findall(r'`(\w+)=([\w.]+)`', options)
        if not pairs:
            continue
        changed.append(loss)
        (config,) = (c for c in configs if re.search(rf'r18.*-{loss.lower()}-\d+k', c.name))
        of_head = load(config).model.decode_head.loss_decode
        built = MODELS.build(dict(of_head, **{k: DictAction._parse_iterable(v) for k, v in pairs}))
        logits = torch.randn(2, 19, 6, 5, requires_grad=True)
        built(logits, torch.randint(0, 19, (2, 6, 5)), ignore_index=255).backward()
        assert logits.grad.abs().sum() > 0
    assert changed == ['SoftIoU', 'Lovasz', 'OHEM', 'Recall']
