"""``tools/benchmarks``: each script on a tiny setting, and that it measures what it says."""

import importlib
import json
import sys

import pytest
import torch

from mmseg_recall.losses import RecallLoss
from tests.against_reference import value_and_gradient
from tests.batches import make_batch
from tests.test_tools.paths import TOOLS
from tests.tolerances import FLOAT64

pytest.importorskip('mmseg')
BENCHMARKS = TOOLS / 'benchmarks'
simulates = pytest.mark.skipif(
    torch.__version__ < '2.5', reason='storages of fake tensors cannot be watched'
)
SMALL_STEP = ('--models', 'fast-scnn', '--size', '64', '128', '--batch-size', '4')


@pytest.fixture
def module(monkeypatch):
    """Import a module of the folder; none stays."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name, loaded in list(sys.modules.items()):
        if str(BENCHMARKS) in str(getattr(loaded, '__file__', None)):
            del sys.modules[name]


@pytest.fixture
def compiled_strips(module, monkeypatch):
    """The module, not compiled: that would take half a minute, and a C++ compiler."""
    monkeypatch.setattr(torch, 'compile', lambda **options: lambda function: function)
    return module('_compiled_strips')


@pytest.fixture
def run(module, monkeypatch, tmp_path):
    """Run a script; its result, with a picture beside it. No peak is measured, which is slow."""
    measure = module('_measure')
    peaks = dict(peak_extra_bytes=2**20, held_bytes=0)
    monkeypatch.setattr(measure, 'peak_memory', lambda *arguments: peaks)

    def run_script(name, *arguments):
        output = tmp_path / f'{name}.json'
        command = [f'{name}.py', *arguments, '--output', str(output)]
        monkeypatch.setattr(sys, 'argv', command)
        module(name).main()
        assert output.with_suffix('.png').stat().st_size > 1000
        return json.loads(output.read_text())

    return run_script


@pytest.mark.parametrize('target_shape', [(2, 23, 31), (2, 7, 13), (2, 7, 6)])
def test_compiled_strips_are_recall_loss(compiled_strips, target_shape, monkeypatch):
    monkeypatch.setattr(compiled_strips, 'STRIP_ELEMENTS', 700)
    batch = make_batch((2, 5, 7, 6), target_shape)
    result = value_and_gradient(compiled_strips.recall_loss, *batch)
    expected = value_and_gradient(RecallLoss(), *batch)
    torch.testing.assert_close(result, expected, **FLOAT64)


def test_loss_path(run, module, monkeypatch):
    shapes = dict(up=(2, 4, (5, 6), (20, 24)), fullres=(2, 4, (8, 8), (8, 8)), flat=(9, 4, (), ()))
    monkeypatch.setattr(module('_settings'), 'SHAPES', shapes)
    monkeypatch.setattr(module('_loss_paths'), 'compiles', lambda device: False)
    result = run('loss_path', '--repeats', '1', '--backend', 'reference')
    assert result['backend'] == 'reference'
    for rows in result['shapes'].values():
        assert {'stock', 'plain_recall', 'RecallLoss', 'OHEMLoss', 'limit (bytes)'} <= set(rows)
        assert ('RecallLoss, squares' in rows) == (rows is not result['shapes']['flat'])
        assert rows['stock']['time_ratio'] == rows['RecallLoss']['memory_ratio'] == 1


def test_the_backend_that_auto_takes_is_named(module):
    assert module('_loss_paths').backend_of('auto', 'cpu') not in ('auto', 'triton')


def test_labels_in_squares(module):
    labels = module('_measure').in_squares(torch.arange(20 * 12).reshape(1, 20, 12))
    assert labels.shape == (1, 20, 12) and labels.is_contiguous()
    assert labels.unique().tolist() == [0, 8, 96, 104, 192, 200]
    assert labels[0, 7, 7] == 0 and labels[0, 19, 11] == 200


def test_scaling(run, module, monkeypatch):
    scaling = module('scaling')
    monkeypatch.setattr(scaling, 'MIDDLE', dict(batch=1, classes=3, side=16))
    monkeypatch.setattr(scaling, 'SWEEPS', dict(side=(16, 32), batch=(1, 2)))
    result = run('scaling', '--repeats', '1')
    assert set(result['sweeps']['side']) == {'16', '32'}


def test_training_step(run):
    result = run('training_step', '--repeats', '1', *SMALL_STEP)
    model = result['models']['fast-scnn']
    assert set(model['rows']) == {'CE', 'CE + hook', 'RecallLoss', 'RecallLoss + hook'}
    assert model['rows']['RecallLoss']['time_ratio'] > 0


def test_steps_have_the_losses_of_their_path(module):
    steps = module('_steps')

    def losses(path):
        log = steps.make_step('fast-scnn', path, 2, (64, 128))()
        return {name.split('.')[-1]: value.item() for name, value in log.items()}

    stock, served = losses('RecallLoss'), losses('RecallLoss + hook')
    assert 'loss_recall' in stock and 'loss_ce' not in stock
    torch.testing.assert_close(served, stock, rtol=1e-4, atol=1e-4)


@simulates
def test_step_memory(run, module, monkeypatch):
    settings = module('_settings')
    paths = {name: settings.PATHS[name] for name in ('CE', 'RecallLoss + hook')}
    monkeypatch.setattr(settings, 'PATHS', paths)
    result = run('step_memory', '--gigabytes', '0.2', '--check', 'fast-scnn', *SMALL_STEP)
    stock, served = result['models']['fast-scnn']['paths'].values()
    for path in (stock, served):
        largest = path['largest_batch']['0.2']
        assert path['bytes'][str(largest)] <= 0.2e9 < path['bytes'][str(largest + 1)]
    assert stock['largest_batch']['0.2'] < served['largest_batch']['0.2']
    checked = result['checks']['models']['fast-scnn']['CE']
    assert checked == dict(simulated_bytes=stock['bytes']['4'], measured_bytes=2**20)


@simulates
def test_a_simulated_peak_is_that_of_the_tensors(module):
    simulation = module('_simulation')
    with simulation.FakeTensorMode(), simulation._Bytes() as counter:
        kept = torch.zeros(1000)
        for _ in range(3):
            dropped = kept + 1  # noqa: F841 (two at a time)
        kept.view(10, 100)
    assert counter.now == 8000 and counter.peak == 12000


@simulates
def test_a_simulated_peak_is_that_of_a_new_process(module, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [str(BENCHMARKS / 'training_step.py'), *SMALL_STEP])
    real = module('_measure').peak_memory('fast-scnn', 'CE')
    simulated = module('_simulation').Simulation('fast-scnn', 'CE', (64, 128)).peak(4)
    assert simulated < real['peak_extra_bytes'] < 1.3 * simulated
    assert real['held_bytes'] < 0.3 * simulated


def test_a_bar_that_is_far_longer_is_cut(module, tmp_path, monkeypatch):
    drawn = []
    pictures = module('_pictures')
    monkeypatch.setattr(pictures, 'save', lambda figure, path: drawn.append(figure))
    rows = {'stock': dict(time_ratio=1.0, memory_ratio=1.0), 'slow': dict(time_ratio=12.0)}
    pictures.draw_ratios(dict(shape=rows), tmp_path / 'picture.png')
    axes = drawn[0].axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert '12.00' in texts and '//' in texts
    assert max(bar.get_width() for bar in axes.patches) == 3
    assert axes.get_xlim()[0] == 0 and axes.get_xscale() == 'linear'
