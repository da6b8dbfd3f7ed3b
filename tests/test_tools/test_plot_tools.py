"""The ``plot_*.py`` tools: folders of trainings, or files, in; figures out."""

import json
import runpy
import sys
from importlib import import_module

import cv2
import mmengine
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from tests.test_tools.paths import TOOLS
from tests.toy_runs import classification_run, segmentation_run

FOCAL_HOOK = dict(type='RecallWeightsHook', interval=2, focal_weight=True)


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Run a tool from an empty folder, in this process, where everything is imported already."""

    def run_tool(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        return runpy.run_path(str(TOOLS / f'analysis_tools/{name}.py'), run_name='__main__')

    return run_tool


def assert_drawn(path):
    image = cv2.imread(str(path))
    assert image is not None and image.std() > 5, path


@pytest.fixture(scope='module')
def recall_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'recall'
    segmentation_run(folder, dict(type='RecallLoss'), custom_hooks=[FOCAL_HOOK])
    return folder


@pytest.fixture(scope='module')
def classifier_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'classifier'
    classification_run(folder, dict(type='CrossEntropyLoss'))
    return folder


def test_recall_weights(start, recall_run, tmp_path, capsys):
    start('plot_recall_weights', recall_run, '--out', 'new')
    for name in ('recall_weights.png', 'focal_weights.png'):
        assert_drawn(tmp_path / 'new' / name)
        assert f'Drawn: new/{name}' in capsys.readouterr().out or name == 'focal_weights.png'


def test_recall_weights_by_frequency(start, recall_run, tmp_path, saved):
    from mmseg_recall_toy_streets.toy_streets import ToyStreets

    names = list(ToyStreets.METAINFO['classes'])
    counts = list(range(1, len(names) + 1))
    about = dict(classes=names, unit='pixels', counts=counts, images=counts, num_images=99)
    (tmp_path / 'counts.json').write_text(json.dumps(about))
    start('plot_recall_weights', recall_run, '--class-counts', 'counts.json', '--out', tmp_path)
    legend = [text.get_text() for text in saved[0].axes[0].get_legend().get_texts()]
    drawn = [line.split(' (')[0] for line in legend]
    assert drawn == [name for name in names if name in drawn]  # the rarest on top


def test_recall_weights_of_several_heads(start, tmp_path):
    folder = tmp_path / 'run' / '20250101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    lines = [
        {f'{head}/recall_weight/{name}': 0.5 for head in ('a', 'b') for name in ('car', 'pole')}
        | dict(step=step)
        for step in (10, 20)
    ]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    start('plot_recall_weights', 'run')
    for name in ('recall_weights_a.png', 'recall_weights_b.png'):
        assert_drawn(tmp_path / 'run' / name)


def test_recall_weights_that_nobody_logged(start, classifier_run, says):
    with says("^plot_recall_weights.py: .*type='RecallWeightsHook'"):
        start('plot_recall_weights', classifier_run)


def test_per_class(start, recall_run, tmp_path, says):
    start('plot_per_class', recall_run, '--out', 'bars.png')
    assert_drawn(tmp_path / 'bars.png')
    with says('^plot_per_class.py: nowhere has no config'):
        start('plot_per_class', 'nowhere')


def test_effective_number(start, tmp_path, saved, says):
    start('plot_effective_number')
    assert_drawn(tmp_path / 'effective_number.png')
    (tmp_path / 'counts.json').write_text('{"counts": [7, 300]}')
    start('plot_effective_number', 'counts.json', '--beta', 0.5, '--out', 'new/some.png')
    assert_drawn(tmp_path / 'new/some.png')
    lines = {line.get_label(): line.get_ydata() for line in saved[1].axes[1].lines}
    np.testing.assert_allclose(lines['beta = 0.5'], [2, 2 - 2**-6])
    assert len(saved[0].axes[1].lines) == 4 + 2
    with says(r'^plot_effective_number.py: --beta must be in \[0, 1\), but got 1.5'):
        start('plot_effective_number', '--beta', 1.5)


def test_marginal_likelihood(start, classifier_run, tmp_path, saved):
    random = np.random.default_rng(0)
    scores = random.dirichlet([1, 2, 3], 8)
    results = [dict(pred_score=score, gt_label=np.array([0])) for score in scores]
    mmengine.dump(results, tmp_path / 'test.pkl')
    options = ['--class-counts', 'counts.txt', '--out', 'new/likelihood.png']
    (tmp_path / 'counts.txt').write_text('3\n9\n6\n')
    start('plot_marginal_likelihood', tmp_path / 'test.pkl', classifier_run, *options)
    assert_drawn(tmp_path / 'new/likelihood.png')
    axes = saved[0].axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), scores.mean(0)[[1, 2, 0]])
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ['medium', 'few', 'many']  # as the other run calls its classes


def test_sample_rates(start, tmp_path, saved, says):
    from tests.tiny_images import CLASSES, TinyImages, build_runner

    sampler = {'train_dataloader.sampler': dict(_delete_=True, type='MetaSampler', power=-1)}
    hooks = [dict(type='MetaSamplerHook', interval=1, lr=0.1)]
    loss = dict(type='BalancedSoftmaxLoss', class_counts=CLASSES)
    head = dict(type='LinearClsHead', loss=loss)
    runner = build_runner(tmp_path / 'run', head, custom_hooks=hooks, **sampler)
    runner.train()
    names = list(TinyImages.METAINFO['classes'])
    about = dict(classes=names[::-1], unit='samples', counts=CLASSES[::-1], images=CLASSES[::-1])
    (tmp_path / 'counts.json').write_text(json.dumps(about | dict(num_images=18)))
    start('plot_sample_rates', 'run')
    assert_drawn(tmp_path / 'run/sample_rates.png')
    start('plot_sample_rates', 'run/epoch_1.pth', '--class-counts', 'counts.json', '--out', 'a.png')
    assert_drawn(tmp_path / 'a.png')
    learned = runner.train_dataloader.sampler.log_rates.exp()
    for figure in saved:
        (axes,) = figure.axes
        np.testing.assert_allclose(axes.lines[0].get_ydata(), learned, rtol=1e-6)
        assert [label.get_text() for label in axes.get_xticklabels()] == names
    np.testing.assert_allclose(saved[1].axes[0].lines[1].get_ydata(), np.array(CLASSES) / 18)
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    checkpoint['meta']['dataset_meta']['classes'] = ('more', *names)
    torch.save(checkpoint, tmp_path / 'more.pth')
    with says('more.pth has rates of 3 classes, those with images, of 4: give'):
        start('plot_sample_rates', 'more.pth')
    del checkpoint['meta_sampler']
    torch.save(checkpoint, tmp_path / 'none.pth')
    with says('none.pth has no sample rates: it is not of a training with MetaSamplerHook'):
        start('plot_sample_rates', 'none.pth')


def test_sample_rates_that_nobody_logged(start, classifier_run, says):
    with says(r'has no meta_rate/<class> in its scalars: train with MetaSampler'):
        start('plot_sample_rates', classifier_run)


def test_marginal_likelihood_is_for_classification(start, recall_run, says):
    with says('is a segmentation run'):
        start('plot_marginal_likelihood', recall_run)


RUNS = """config,head.loss.beta,data.imbalance,seed,top1,mean
net,0.9,50,0,70,1
net,0.9,50,1,74,
net,0.99,50,0,75,2
net,0.9,10,0,90,3
"""


def test_sweep(start, tmp_path, saved, says):
    (tmp_path / 'runs.csv').write_text(RUNS)
    start('plot_sweep', '.', '--x', 'head.loss.beta', '--error')
    assert_drawn(tmp_path / 'sweep.png')
    (axes,) = saved[0].axes
    drawn = {line.get_label(): line[0].get_ydata().tolist() for line in axes.containers}
    assert drawn == {'imbalance=50': [28, 25], 'imbalance=10': [10]}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('beta', 'error (100 - top1)')
    # By default the grid's last key; a run without this score is left out.
    start('plot_sweep', '.', '--score', 'mean', '--out', 'new/mean.png')
    assert_drawn(tmp_path / 'new/mean.png')
    drawn = {line.get_label(): line[0].get_ydata().tolist() for line in saved[1].axes[0].containers}
    assert drawn == {'beta=0.9': [3, 1], 'beta=0.99': [2]}
    with says('^plot_sweep.py: --x must be one of config, head.loss.beta, data.imbalance, but got'):
        start('plot_sweep', '.', '--x', 'beta')
    with says('--score must be one of top1, mean, but got mIoU'):
        start('plot_sweep', '.', '--score', 'mIoU')
    (tmp_path / 'runs.csv').write_text(RUNS.splitlines()[0])
    with says('runs.csv has no finished run'):
        start('plot_sweep', '.')
    (tmp_path / 'runs.csv').write_text('a,b')
    with says('runs.csv cannot be read: expected the runs of a sweep, but got'):
        start('plot_sweep', '.')


def test_training_loss(start, classifier_run, tmp_path, saved, says):
    start('plot_training_loss', classifier_run, '--smooth', 0, '--out', 'new/loss.png')
    assert_drawn(tmp_path / 'new/loss.png')
    (line,) = saved[0].axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert line.get_label() == 'classifier'
    with says('^plot_training_loss.py: .*classifier has no scalar loss_b; .* it has: loss$'):
        start('plot_training_loss', classifier_run, '--loss', 'loss_b')
    with says('--smooth must be .*, but got -1'):
        start('plot_training_loss', classifier_run, '--smooth', -1)


@pytest.mark.parametrize('name', ['cut.json', 'cut.npy', 'words.txt', 'none.json'])
def test_damaged_class_counts(start, tmp_path, says, name):
    (tmp_path / 'cut.json').write_text('{"counts": [1, 2')
    (tmp_path / 'cut.npy').write_bytes(b'\x93NUMPY')
    (tmp_path / 'words.txt').write_text('many\nfew\n')
    with says(f'^plot_effective_number.py: {name} cannot be read: expected class counts, but got'):
        start('plot_effective_number', name)


def test_damaged_files(start, tmp_path, says):
    (tmp_path / 'test.pkl').write_bytes(b'\x80\x04cut')
    with says(
        r'test\.pkl cannot be read: expected the predictions of tools/test.py --out, but got'
    ):
        start('plot_marginal_likelihood', 'test.pkl')
    folder = tmp_path / 'run/20250101_000000/vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"recall_weight/car": \n{}')
    with says(r'^plot_recall_weights.py: run/.*/scalars\.json, line 1 is not a JSON object'):
        start('plot_recall_weights', 'run')
    (tmp_path / 'counts.json').write_text('{"counts": [1, 2]}')
    with says(r'counts\.json cannot be read: expected what ClassCounts.save writes'):
        start('plot_recall_weights', 'run', '--class-counts', 'counts.json')


@pytest.fixture
def saved(monkeypatch):
    """The figures saved in a test."""
    figures = []
    for module in (
        'effective_number',
        'marginal_likelihood',
        'recall_weights',
        'sample_rates',
        'sweep',
        'training_loss',
    ):
        name = f'mmseg_recall.visualization.{module}.save'
        save = import_module(f'mmseg_recall.visualization.{module}').save

        def spy(figure, path, save=save):
            figures.append(figure)
            return save(figure, path)

        monkeypatch.setattr(name, spy)
    return figures
