"""The shipped configs of the long-tailed data sets build, train a step and validate."""

import copy
import functools
import math
import re
from collections import Counter

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip('mmpretrain')

import mmengine.runner.runner
import mmpretrain.datasets
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.long_tail import long_tail_counts
from mmseg_recall.engine.launch import build_runner
from tests.test_datasets.data_files import (
    LABELS,
    write_cifar,
    write_images,
    write_inaturalist,
    write_lists,
)
from tests.test_tools.paths import ROOT

SCOPE = 'mmpretrain'

FOLDERS = (
    'cifar_lt',
    'imagenet',
    'imagenet_lt',
    'inaturalist2017',
    'inaturalist2018',
    'places_lt',
)
CONFIGS = [path for folder in FOLDERS for path in sorted((ROOT / 'configs' / folder).glob('*.py'))]
NUM_CLASSES = dict(
    CIFAR10LT=10,
    CIFAR100LT=100,
    CustomDataset=10,
    ImageNet=1000,
    ImageNetLT=1000,
    INaturalist2017=5089,
    INaturalist2018=8142,
    PlacesLT=365,
)
#: Thin backbones of each kind, and the channels of their features.
SMALL = dict(
    ResNet=(dict(depth=34, stem_channels=8, base_channels=8), 64),  # layer4.2 as in ResNet-152
    ResNet10=(dict(stem_channels=8, base_channels=8), 64),
    ResNeXt=(dict(groups=2, width_per_group=4, stem_channels=8, base_channels=8), 256),
    CIFARResNet=(dict(depth=20, stem_channels=4, base_channels=4), 16),
)
TRAIN_BATCHES = [f'data_batch_{number}' for number in range(1, 6)]
all_configs = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@pytest.fixture(scope='module', autouse=True)
def data(tmp_path_factory):
    """All data sets in their real formats, where the configs' environment variables say."""
    root = tmp_path_factory.mktemp('data')
    write_both_cifars(root, each=(5, 2))
    classes = [f'{split}/{name}' for split in ('train', 'val') for name in 'abcdefghij']
    write_images([root / 'CIFAR10_LT_ROOT' / name / '1.png' for name in classes], (32, 32))
    paths = dict(train='train/{label}/1.jpg', val='train/{label}/1.jpg', test='val/{label}/2.jpg')
    for prefix, variable in (('Places_LT', 'PLACES_LT_ROOT'), ('ImageNet_LT', 'IMAGENET_ROOT')):
        lists = {f'{prefix}_{split}.txt': path for split, path in paths.items()}
        write_lists(root / variable, lists)
    for year, folder in ((2017, 'train_val_images'), (2018, 'train_val2018')):
        names = [f'train{year}.json', f'val{year}.json']
        write_inaturalist(root / f'INATURALIST{year}_ROOT', names, folder)
    with pytest.MonkeyPatch.context() as patch:
        for dataset, train, test in (
            (mmpretrain.datasets.CIFAR10, TRAIN_BATCHES, 'test_batch'),
            (mmpretrain.datasets.CIFAR100, ['train'], 'test'),
        ):
            patch.setattr(dataset, 'train_list', [[name, None] for name in train])  # no checksum
            patch.setattr(dataset, 'test_list', [[test, None]])
        for folder in root.iterdir():
            patch.setenv(folder.name, str(folder))
        # Half a second each time: asking programs for their versions, and breaking the lines of
        # configs for the log.
        patch.setattr(mmengine.runner.runner, 'collect_env', dict)
        for module in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):
            patch.setattr(f'{module}.FormatCode', lambda text, **_: (text, True), raising=False)
        yield


def write_both_cifars(root, each):
    """So many training images of each class of CIFAR-10 and CIFAR-100, and one test image."""
    folder = root / 'CIFAR10_ROOT/cifar-10-batches-py'
    write_cifar(folder, TRAIN_BATCHES, 'labels', 10, each[0] // 5)
    write_cifar(folder, ['test_batch'], 'labels', 10, 1)
    folder = root / 'CIFAR100_ROOT/cifar-100-python'
    write_cifar(folder, ['train'], 'fine_labels', 100, each[1])
    write_cifar(folder, ['test'], 'fine_labels', 100, 1)


@functools.cache
def read(path):
    return Config.fromfile(path)


@functools.cache
def read_metafile(folder):
    return yaml.safe_load((folder / 'metafile.yml').read_text())


def load(path):
    """A config of its own for each test: reading it takes a tenth of a second."""
    return copy.deepcopy(read(path))


def build(registry, cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return registry.build(cfg)


def values_of(tree, key):
    """All values of a key in nested dicts and lists."""
    if isinstance(tree, dict):
        yield from (value for name, value in tree.items() if name == key)
    if isinstance(tree, (dict, list)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from values_of(child, key)


def replace(tree, key, value):
    """Give a key in nested dicts and lists another value."""
    if isinstance(tree, dict) and key in tree:
        tree[key] = value
    if isinstance(tree, (dict, list)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            replace(child, key, value)


# -- what they are ---------------------------------------------------------------------------------


@all_configs
def test_model_and_batch_are_as_named(path, monkeypatch):
    # How PyTorch starts layers takes seconds for the large networks.
    monkeypatch.setattr(torch.nn.init, 'kaiming_uniform_', lambda weight, **_: weight)
    cfg = load(path)
    depth, gpus, batch = map(int, re.match(r'\D+(\d+)\D.*?(\d+)xb(\d+)-', path.stem).groups())
    num_classes = NUM_CLASSES[cfg.train_dataloader.dataset.type]
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.get('auto_scale_lr', dict(base_batch_size=gpus * batch)) == dict(
        base_batch_size=gpus * batch
    )
    assert set(values_of(cfg._cfg_dict.to_dict(), 'num_classes')) == {num_classes}
    model = build(MODELS, cfg.model)
    assert model.backbone.depth == depth
    assert model.head.num_classes == num_classes
    assert model.head.in_channels == model.backbone.feat_dim


@all_configs
def test_documented(path):
    metafile = read_metafile(path.parent)
    entries = {model['Name']: model for model in metafile['Models']}
    entry = entries[path.stem]
    assert entry['Config'] == path.relative_to(ROOT).as_posix()
    assert entry['In Collection'] in [part['Name'] for part in metafile['Collections']]
    cfg = load(path)
    assert entry['Metadata']['Batch Size'] == math.prod(
        map(int, re.search(r'(\d+)xb(\d+)-', path.stem).groups())
    )
    length = dict(Epochs=cfg.train_cfg.get('max_epochs'), Iterations=cfg.train_cfg.get('max_iters'))
    assert {name: entry['Metadata'].get(name) for name in length} == length


@pytest.mark.parametrize('folder', FOLDERS)
def test_documents_name_no_other_config(folder):
    there = {path.name for path in CONFIGS if path.parent.name == folder}
    metafile = read_metafile(ROOT / 'configs' / folder)
    # What was measured with another schedule is an entry of its own, of the same config.
    models = [model for model in metafile['Models'] if 'Training Options' not in model['Metadata']]
    assert sorted(f'{model["Name"]}.py' for model in models) == sorted(there)
    for model in metafile['Models']:
        assert model['Config'].rpartition('/')[2] in there
        assert model in models or model['Results']
    readme = (ROOT / 'configs' / folder / 'README.md').read_text()
    linked = re.findall(r'\]\((?:\./)?([^)/]+\.py)\)', readme)
    assert set(linked) == there
    # Of CIFAR some are of several tables, or were run with another schedule too.
    assert max(Counter(linked).values()) == (2 if folder == 'cifar_lt' else 1)
    mentioned = set(re.findall(r'resne[\w.-]+\.py', readme))
    assert mentioned <= there


@pytest.mark.parametrize('factor', [10, 20, 50, 100, 200])
@pytest.mark.parametrize('num_classes', [10, 100])
def test_every_imbalance_needs_one_option(num_classes, factor, many_images):
    datasets = []
    for path in CONFIGS:
        if not path.stem.endswith(f'_cifar{num_classes}-lt100'):
            continue
        cfg = load(path)
        assert cfg.train_dataloader.dataset.imbalance_factor == 100
        cfg.merge_from_dict({'train_dataloader.dataset.imbalance_factor': factor})
        assert build(MODELS, cfg.model).head.num_classes == num_classes
        of_losses = set(values_of(cfg._cfg_dict.to_dict(), 'class_counts'))
        assert of_losses == ({'auto', None} if '-gml-plain' in path.stem else {'auto'})
        if cfg.train_dataloader.dataset not in datasets:
            datasets.append(cfg.train_dataloader.dataset)
    plain, augmented = datasets  # those of two recipes
    assert plain == {**augmented, 'pipeline': plain.pipeline}
    dataset = plain
    dataset.data_root = str(many_images / f'CIFAR{num_classes}_ROOT')
    counts = Counter(build(DATASETS, dataset).get_gt_labels().tolist())
    expected = long_tail_counts(200, num_classes, factor)
    assert [counts[label] for label in range(num_classes)] == expected and expected[-1] > 0


@pytest.fixture(scope='module')
def many_images(tmp_path_factory):
    """CIFARs of 200 images a class, so that the rarest class has one at imbalance 200."""
    root = tmp_path_factory.mktemp('many')
    write_both_cifars(root, each=(200, 200))
    return root


SIGMOID = [
    path for path in CONFIGS if re.search('-(cb-sigmoid|(cb|sigmoid)-focal|sigmoid)_', path.name)
]


@pytest.mark.parametrize('path', SIGMOID, ids=lambda path: path.stem)
def test_sigmoid_starts_at_the_prior_and_its_bias_does_not_decay(path, tmp_path):
    """Class-balanced loss, Sec. 5.2."""
    cfg = load(path)
    cfg.model.backbone.update(SMALL[cfg.model.backbone.type][0])
    assert cfg.model.head.loss.base in ('sigmoid', 'focal')
    model = build(MODELS, cfg.model)
    model.head.init_weights()
    num_classes = NUM_CLASSES[cfg.train_dataloader.dataset.type]
    prior = 1 / num_classes
    expected = torch.full((num_classes,), -math.log((1 - prior) / prior))
    torch.testing.assert_close(model.head.fc.bias.detach(), expected)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {
        parameter: group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    assert decay.pop(model.head.fc.bias) == 0
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    of_norms = {decay.pop(parameter) for norm in norms for parameter in norm.parameters()}
    full = cfg.optim_wrapper.optimizer.weight_decay
    assert of_norms == {full if path.parent.name == 'cifar_lt' else 0}  # as in the released code
    assert set(decay.values()) == {full}


def test_sigmoid_configs_are_all_tested_above():
    bases = {
        path: base
        for path in CONFIGS
        for base in values_of(load(path)._cfg_dict.to_dict(), 'base')
        if base in ('sigmoid', 'focal')
    }
    assert set(bases) == set(SIGMOID) and len(SIGMOID) > 6


# -- what the papers' recipes are ------------------------------------------------------------------

CIFAR = ROOT / 'configs/cifar_lt'


def test_weight_decay_is_that_of_the_authors():
    """Class-balanced loss and LDAM: batch 128, 2e-4. Balanced Meta-Softmax: batch 512, 5e-4."""
    for path in CIFAR.glob('*.py'):
        cfg = read(path)
        expected = {128: 2e-4, 512: 5e-4}[cfg.train_dataloader.batch_size]
        assert cfg.optim_wrapper.optimizer.weight_decay == expected, path.name


def test_schedule_of_balanced_meta_softmax():
    """Its released configs: 0.05 to 0.1 in 800 iterations, then a cosine to 0 at 13,000."""
    cfg = read(CIFAR / 'resnet32_1xb512-ce_cifar10-lt100.py')
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    expected = [0.05 + 0.05 * i / 799 for i in range(800)]
    expected += [0.05 * (1 + math.cos(math.pi * i / 12200)) for i in range(12200)]
    assert rates == pytest.approx(expected, abs=1e-4)


def test_short_schedule_is_to_scale():
    """Of 200 epochs the first 5 are warm-up, which is rounded up, and steps are at 160 and 180."""
    of_200, of_30 = (
        Config.fromfile(ROOT / f'configs/_base_/schedules/cifar_lt_{epochs}e.py')
        for epochs in (200, 30)
    )
    assert of_200.optim_wrapper == of_30.optim_wrapper
    for cfg in (of_200, of_30):
        scale = cfg.train_cfg.max_epochs / 200
        warm_up, steps = cfg.param_scheduler
        assert warm_up.end == math.ceil(5 * scale)
        assert steps.milestones == [160 * scale, 180 * scale]


@pytest.mark.parametrize(('schedule', 'begin'), [('cifar_lt_200e', 160), ('cifar_lt_30e', 24)])
def test_deferred_reweighting_is_to_scale_too(schedule, begin, monkeypatch):
    monkeypatch.setenv('CIFAR_LT_SCHEDULE', schedule)
    cfg = Config.fromfile(CIFAR / 'resnet32_1xb128-ldam-drw_cifar10-lt100.py')
    assert cfg.custom_hooks[-1] == dict(type='DeferredReweightingHook', begin=begin)


def test_autoaugment_and_cutout():
    cfg = read(CIFAR / 'resnet32_1xb512-ce_cifar100-lt100.py')
    steps = cfg.train_dataloader.dataset.pipeline
    autoaugment, cutout = (build(TRANSFORMS, step) for step in steps[2:4])
    assert len(autoaugment.transforms) == 25
    image = np.full((32, 32, 3), 200, np.uint8)
    for policy in autoaugment.transforms:
        result = policy(dict(img=image.copy()))['img']
        assert result.shape == image.shape and result.dtype == np.uint8
        assert (result == result[..., :1]).all()  # what was grey, or is new, is grey
    holes = [(cutout(dict(img=image.copy()))['img'] == 0).all(2).sum() for _ in range(50)]
    assert 8 * 8 <= min(holes) < max(holes) <= 16 * 16


@pytest.mark.parametrize(
    ('name', 'option', 'value'),
    [
        ('1xb128-sigmoid-focal', 'gamma', 2),
        ('1xb128-cb-focal', 'beta', 0.99),
        ('1xb512-cb-focal', 'base', 'softmax'),
        ('1xb512-balanced-softmax', 'tau', 0.25),
        ('1xb512-decoupled-balanced-softmax', 'tau', 0.25),
        ('1xb512-balms', 'tau', 0.25),
    ],
)
def test_rows_that_are_options(name, option, value):
    for num_classes in (10, 100):
        cfg = load(CIFAR / f'resnet32_{name}_cifar{num_classes}-lt100.py')
        cfg.merge_from_dict({f'model.head.loss.{option}': value})
        assert getattr(build(MODELS, cfg.model.head).loss_module, option) == value


@pytest.mark.parametrize('path', sorted(CIFAR.glob('*-sdn-*.py')), ids=lambda path: path.stem)
def test_classifier_of_sdn_is_balanced(path):
    """The feature loss leaves that to it: the rarest class weighs far more than the others."""
    head = read(path).model.head
    counts = long_tail_counts(50_000 // head.num_classes, 2, 100)
    most, fewest = (1 - head.classifier_loss.beta**count for count in counts)
    assert most / fewest > 50


# -- that they run ---------------------------------------------------------------------------------


def small(cfg):
    """A thin network on tiny images, for one iteration; all else stays as in the config."""
    backbone, channels = SMALL[cfg.model.backbone.type]
    cfg.model.backbone.update(backbone)
    cfg.model.backbone.init_cfg = None  # nothing pre-trained to download
    cfg.model.head.in_channels = channels
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.serialize_data = False  # for the workers; it collects garbage
        if 'imbalance_factor' in loader.dataset:
            loader.dataset.imbalance_factor = 2
        if NUM_CLASSES[loader.dataset.type] > 100:
            loader.dataset.classes = [str(label) for label in LABELS]
            replace(cfg.model, 'num_classes', len(LABELS))
            replace(cfg.data_preprocessor, 'num_classes', len(LABELS))
        replace(loader.dataset.pipeline, 'scale', 32)
        replace(loader.dataset.pipeline, 'crop_size', 32)
    replace(cfg.custom_hooks, 'meta_batch_size', 8)
    replace(cfg.custom_hooks, 'begin', 0)  # deferred re-weighting: at once
    cfg.train_cfg.val_interval = 1
    cfg.train_cfg['max_epochs' if cfg.train_cfg.by_epoch else 'max_iters'] = 1
    return cfg


def stage_1(path, load_from):
    """Random weights for the config whose checkpoint ``load_from`` names, as it would save them."""
    stem, unit, last = re.fullmatch(r'work_dirs/(.+)/(epoch|iter)_(\d+)\.pth', load_from).groups()
    cfg = load(path.parent / f'{stem}.py')
    assert cfg.train_cfg[f'max_{unit}s'] == int(last)
    torch.manual_seed(1)
    model = build(MODELS, small(cfg).model)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return model.state_dict()


@all_configs
def test_one_step_and_validation(path, tmp_path):
    cfg = small(load(path))
    cfg.update(work_dir=str(tmp_path), experiment_name=tmp_path.name, randomness=dict(seed=0))
    cfg.visualizer.name = tmp_path.name
    loaded = None
    if cfg.load_from:
        loaded = stage_1(path, cfg.load_from)
        cfg.load_from = str(tmp_path / 'stage_1.pth')
        torch.save(dict(state_dict=loaded), cfg.load_from)
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 1
    scalars = runner.message_hub.log_scalars
    assert 0 < scalars['train/loss'].current() < math.inf
    for score in ('top1', 'mean_recall', 'gmean_recall', 'hmean_recall', 'lowest_recall'):
        assert 0 <= scalars[f'val/{score}'].current() <= 100
    validation = runner.val_dataloader.dataset
    chosen = any(tmp_path.glob('best_hmean_recall_*.pth'))
    assert chosen == (cfg.test_dataloader.dataset != cfg.val_dataloader.dataset)
    assert len(validation) == len(build(DATASETS, cfg.test_dataloader.dataset))
    check_what_was_trained(runner, loaded, path.parent.name == 'places_lt')


@pytest.mark.parametrize(
    ('name', 'variables', 'epochs'),
    [
        ('1xb128-sdn-recall', dict(CIFAR_LT_SCHEDULE='cifar_lt_30e'), 30),
        ('1xb512-balms', dict(CIFAR_LT_STAGE2='cifar_lt_stage2_20e'), 20),
    ],
)
def test_folders_and_another_schedule_are_options(name, variables, epochs, tmp_path, monkeypatch):
    """CIFAR-10-LT as folders of images, and the shorter schedules, by environment variables."""
    path = ROOT / f'configs/cifar_lt/resnet32_{name}_cifar10-lt100.py'
    usual = Config.fromfile(path)
    for variable, value in dict(variables, CIFAR10_LT_DATA='cifar10_lt100_folder').items():
        monkeypatch.setenv(variable, value)
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.dataset.type == 'CustomDataset'
    assert cfg.train_cfg.max_epochs == epochs and cfg.model == usual.model
    assert cfg.train_dataloader.batch_size == usual.train_dataloader.batch_size
    cfg = small(cfg)
    cfg.update(work_dir=str(tmp_path), experiment_name=tmp_path.name, load_from=None)
    cfg.visualizer.name = tmp_path.name
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 1


@pytest.mark.parametrize('alpha', [0.1, 0.3])
@pytest.mark.parametrize('path', [path for path in CONFIGS if 'sdn-recall' in path.stem])
def test_alpha_is_an_option(path, alpha):
    """The recall loss paper's Table 4."""
    cfg = load(path)
    cfg.merge_from_dict({'model.head.feature_loss.alpha': alpha})
    assert build(MODELS, cfg.model.head).feature_loss_module.alpha == alpha


@pytest.mark.parametrize('depth', [101, 152])
@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if '-320px' in path.stem], ids=lambda path: path.stem
)
def test_depth_is_an_option(path, depth):
    """The class-balanced loss paper's Table 3."""
    cfg = load(path)
    cfg.merge_from_dict({'model.backbone.depth': depth, 'model.backbone.base_channels': 8})
    backbone = build(MODELS, cfg.model.backbone)
    assert backbone.depth == depth and backbone.feat_dim * 64 // 8 == cfg.model.head.in_channels


#: What the papers and their authors' code say.
SETTINGS = {
    'imagenet/resnet50_8xb128-ce_imagenet': {
        'optim_wrapper.optimizer.lr': 0.4,
        'optim_wrapper.optimizer.nesterov': True,
        'train_dataloader.dataset.pipeline.1.scale': 224,
        'val_dataloader.dataset.pipeline.1.scale': 256,
    },
    'imagenet/resnet50_8xb128-cb-focal_imagenet': {'optim_wrapper.optimizer.lr': 2 * 0.4},
    **{
        f'{name}/resnet50_8xb128-cb-focal_{name}-320px': {
            'model.head.loss.beta': 0.999,
            'model.head.loss.gamma': 0.5,
            'optim_wrapper.optimizer.lr': 4 * 0.4,
            'train_dataloader.dataset.pipeline.1.scale': 320,
            'test_dataloader.dataset.pipeline.1.scale': 366,
            'test_dataloader.dataset.pipeline.2.crop_size': 320,
        }
        for name in ('inaturalist2017', 'inaturalist2018')
    },
    'imagenet_lt/resnet10_4xb128-balms_imagenet-lt': {
        'custom_hooks.2.meta_batch_size': 1024 // 4,
        'train_dataloader.sampler.power': -0.1,
    },
    'imagenet_lt/resnet10_4xb128-lws_imagenet-lt': {
        'optim_wrapper.optimizer.lr': 0.2,
        'train_cfg.max_epochs': 5,
    },
    'inaturalist2018/resnet50_1xb128-ldam-drw_inaturalist2018': {
        'custom_hooks.1.begin': 60,
        'model.head.loss.max_margin': 0.3,
        'optim_wrapper.optimizer.lr': 0.01,
    },
    'inaturalist2018/resnet50_1xb128-focal-drw_inaturalist2018': {'custom_hooks.1.begin': 60},
    'inaturalist2018/resnet50_1xb512-lws_inaturalist2018': {
        'optim_wrapper.optimizer.lr': 0.2,
        'train_cfg.max_epochs': 5,
    },
    'places_lt/resnet152_1xb256-balms_places-lt': {
        'custom_hooks.2.meta_batch_size': 512,
        'optim_wrapper.optimizer.lr': 0.02,
    },
}


@pytest.mark.parametrize('name', SETTINGS)
def test_settings_of_the_sources(name):
    cfg = read(ROOT / f'configs/{name}.py')
    for key, expected in SETTINGS[name].items():
        value = cfg
        for part in key.split('.'):
            value = value[int(part)] if part.isdecimal() else value[part]
        assert value == expected, key


def check_what_was_trained(runner, loaded, last_block_only):
    names = dict(runner.model.named_parameters())
    stepped = runner.optim_wrapper.optimizer.state
    trained = {name for name, parameter in names.items() if parameter in stepped}
    if loaded is None:
        prefixes = ('backbone.layer4.2.', 'head.') if last_block_only else ''
        assert trained == {name for name in names if name.startswith(prefixes)}
        return
    state = runner.model.state_dict()
    scaling = 'head.scale' in state
    assert trained == ({'head.scale'} if scaling else {'head.fc.weight', 'head.fc.bias'})
    for name, value in loaded.items():
        if name.startswith('head.fc.'):
            old = name if scaling else name.replace('fc', 'old_fc')
            assert torch.equal(state[old], value)
            assert scaling or not torch.equal(state[name], value)
        else:
            assert torch.equal(state[name], value), name
