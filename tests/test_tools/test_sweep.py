"""``tools/sweep.py``: the runs of a grid, their table, and what is left when it is killed."""

import csv
import json
import runpy
import signal
import statistics
import subprocess
import sys
import time

import pytest

pytest.importorskip('mmpretrain')
pytest.importorskip('sklearn')

from mmseg_recall.engine import sweep
from mmseg_recall.engine.launch import load_config, read_config
from tests.test_tools.paths import ROOT, TOOLS

CONFIG = ROOT / 'configs/digits_lt/lenet5_1xb64-ce-100e_digits-lt.py'
STEM = CONFIG.stem
SHORT = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
GRID = ('--grid', 'optim_wrapper.optimizer.lr=0.001,0.01')
SCOPE = 'mmpretrain'


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Run the tool in this process, which has imported everything, from an empty folder."""

    def run_tool(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['sweep.py', *map(str, arguments)])
        runpy.run_path(str(TOOLS / 'sweep.py'), run_name='__main__')

    return run_tool


@pytest.fixture
def trained(monkeypatch):
    """The names of the runs that are trained, here without a process of their own."""
    names = []

    def train_all(train, configs, folder):
        ((name, config),) = configs.items()
        names.append(name)
        if (folder / 'fail').exists() and 'lr=0.01' in name:
            sys.exit('out of memory')
        (folder / name).mkdir(exist_ok=True)
        train(config, folder / name)

    monkeypatch.setattr(sweep, 'train_all', train_all)
    return names


def scores(folder, run):
    return json.loads((folder / run / 'scores.json').read_text())


def test_grid_and_table(start, trained, tmp_path, capsys):
    start(CONFIG, *GRID, '--seeds', '0,1', '--work-dir', 'runs', *SHORT)
    folder = tmp_path / 'runs'
    names = [f'{STEM}_lr={lr}_seed={seed}' for lr in ('0.001', '0.01') for seed in (0, 1)]
    assert trained == names
    settings = read_config(folder / names[3] / f'{names[3]}.py')  # as MMEngine left it
    assert settings.optim_wrapper.optimizer.lr == 0.01
    assert settings.randomness.seed == 1
    assert settings.train_cfg.max_epochs == 1

    rows = list(csv.DictReader((folder / 'runs.csv').open()))
    assert [row['optim_wrapper.optimizer.lr'] for row in rows] == ['0.001'] * 2 + ['0.01'] * 2
    assert [row['seed'] for row in rows] == ['0', '1', '0', '1']
    for name, row in zip(names, rows):
        assert row['config'] == STEM
        assert float(row['recall/9']) == scores(folder, name)['recall/9']

    header, _, *lines = (folder / 'table.md').read_text().splitlines()
    columns = [column.strip() for column in header.strip('|').split('|')]
    assert columns[:4] == ['config', 'lr', 'runs', 'top1'] and 'recall/9' not in columns
    for line, pair in zip(lines, (names[:2], names[2:])):
        cells = dict(zip(columns, (cell.strip() for cell in line.strip('|').split('|'))))
        values = [scores(folder, name)['hmean_recall'] for name in pair]
        mean, spread = map(float, cells['hmean_recall'].split(' ± '))
        assert mean == pytest.approx(statistics.mean(values), abs=0.006)
        assert spread == pytest.approx(statistics.stdev(values), abs=0.006)
        assert cells['runs'] == '2'
    printed = capsys.readouterr().out
    assert 'runs/table.md' in printed
    assert '…' not in printed and f'{mean:.2f}' in printed

    # A finished run is not trained again; one that ended without its scores is only scored.
    before = scores(folder, names[0])
    (folder / names[0] / 'scores.json').unlink()
    fewer = ('--grid', 'optim_wrapper.optimizer.lr=0.001')
    start(CONFIG, *fewer, '--seeds', '0,1,2', '--work-dir', 'runs', *SHORT)
    assert trained[4:] == [names[0], f'{STEM}_lr=0.001_seed=2']
    assert scores(folder, names[0]) == before
    # Nor are its scores taken for those of other settings.
    with pytest.raises(SystemExit):
        start(CONFIG, *GRID, '--work-dir', 'runs', *SHORT, 'train_cfg.max_epochs=2')
    told = capsys.readouterr().err
    assert 'was trained with other settings (-) than those asked for now (+)' in told
    assert 'max_epochs=1' in told and 'max_epochs=2' in told
    assert len(trained) == 6


def test_a_failed_run_is_named_and_tried_again(start, trained, tmp_path, capsys):
    folder = tmp_path / 'runs'
    folder.mkdir()
    (folder / 'fail').touch()
    arguments = (CONFIG, '--grid', 'optim_wrapper.optimizer.lr=0.01,0.001', '--work-dir', 'runs')
    with pytest.raises(SystemExit, match=rf'Failed .*\n  {STEM}_lr=0.01_seed=0$'):
        start(*arguments, *SHORT)
    printed = capsys.readouterr().out
    assert 'out of memory' in printed
    table = (folder / 'table.md').read_text()
    assert f'| {STEM} | 0.01 | 0 |' in table and f'| {STEM} | 0.001 | 1 |' in table
    (folder / 'fail').unlink()
    # It had no checkpoint: its settings may be corrected.
    start(CONFIG, '--grid', 'optim_wrapper.optimizer.lr=0.01', '--work-dir', 'runs', *SHORT)
    assert [name.split('lr=')[1] for name in trained] == [
        '0.01_seed=0',
        '0.001_seed=0',
        '0.01_seed=0',
    ]


def test_killed_and_resumed(start, tmp_path):
    folder = tmp_path / 'runs' / f'{STEM}_seed=7'
    options = ('train_cfg.max_epochs=20', 'default_hooks.checkpoint.interval=1')
    arguments = (CONFIG, '--seeds', '7', '--work-dir', 'runs', '--cfg-options', *options)
    command = [sys.executable, TOOLS / 'sweep.py', *arguments]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        while not (folder / 'last_checkpoint').exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)  # until the training has ended too, which inherited stdout
    assert not (folder / 'scores.json').exists()
    done = (folder / 'last_checkpoint').read_text().split('epoch_')[1].removesuffix('.pth')

    start(*arguments)
    assert f'resumed epoch: {done}, iter: ' in (folder / 'train.log').read_text()
    assert scores(tmp_path / 'runs', folder.name)['top1'] > 30


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['--grid', 'model.head.loss.beta=0.9'],
            r'--grid model.head.loss.beta: .* has no such key; model.head.loss has '
            r'type, loss_weight \(a key that only a default has is added by --cfg-options\)',
        ),
        (['--grid', 'lr=0.1'], r'--grid lr: .* has no such key; it has model, .*randomness'),
        (['--grid', 'param_scheduler.1.T_max=9'], 'param_scheduler is a list of 1, from 0 on'),
        (['--grid', 'train_cfg.max_epochs.x=9'], 'train_cfg.max_epochs is 100'),
        (['--grid', 'work_dir'], '--grid must be KEY=VALUE, but got work_dir'),
        (['--grid', 'model.head.loss.type=[(a,b]'], '--grid: Imbalanced brackets'),
        (['--seeds', '0,1,0'], f'must give different runs, but got twice: {STEM}_seed=0$'),
        (['--seeds', '0,x'], 'argument --seeds: must be integers as in 0,1,2, but got 0,x$'),
        (
            ['--cfg-options', 'val_dataloader=None', 'val_cfg=None', 'val_evaluator=None'],
            'has no val_dataloader: there is nothing to score its runs on',
        ),
    ],
)
def test_errors_before_anything_trains(start, trained, says, tmp_path, arguments, message):
    with says(message):
        start(CONFIG, *arguments)
    assert not trained and not list(tmp_path.iterdir())


def test_scores_that_a_run_does_not_have(tmp_path):
    """NaN and what other configs' metrics give: no mean is made up."""
    runs = sweep.plan([CONFIG], {}, [0, 1])
    for run, found in zip(runs, ({'few': float('nan'), 'top1': 1}, {'few': 2, 'mIoU': 3})):
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / 'scores.json').write_text(json.dumps(found))
    header, row = sweep.write_results(runs, tmp_path)
    assert dict(zip(header[1:], row[1:])) == dict(runs='2', few='nan', top1='1.00', mIoU='3.00')


def test_scores_that_are_parts_of_one(tmp_path):
    """LVIS's and COCO's: two digits would hide what tells runs apart."""
    runs = sweep.plan([CONFIG], {}, [0, 1])
    for run, score in zip(runs, (0.213, 0.206)):
        (tmp_path / run.name).mkdir()
        found = {'lvis/segm_AP': score, 'lvis/segm_APl': -1.0}
        (tmp_path / run.name / 'scores.json').write_text(json.dumps(found))
    _, row = sweep.write_results(runs, tmp_path)
    assert row[2:] == ['0.2095 ± 0.0049', '-1.0000 ± 0.0000']


def test_values_of_a_grid():
    """Elements of lists, tuples and lists as values; names that tell the runs apart."""
    grid = {
        'param_scheduler.0.T_max': [5],
        'train_dataloader.batch_size': [8],
        'val_dataloader.batch_size': [9],
        'data_preprocessor.mean': [[0.0], [9.5]],
    }
    first, second = sweep.plan([CONFIG], grid, [3])
    assert first.name == (
        f'{STEM}_T_max=5_train_dataloader.batch_size=8_val_dataloader.batch_size=9_mean=-0.0-_seed=3'
    )
    assert second.cfg.param_scheduler[0].T_max == 5
    assert second.cfg.data_preprocessor.mean == [9.5]
    assert (second.cfg.train_dataloader.batch_size, second.cfg.val_dataloader.batch_size) == (8, 9)


def test_mixed_precision_and_a_checkpoint_at_any_time():
    (run,) = sweep.plan([CONFIG], {}, [0], amp=True)
    assert load_config(CONFIG).default_hooks.checkpoint.max_keep_ckpts == 1
    # Of one, MMEngine deletes it before it writes the next.
    assert run.cfg.default_hooks.checkpoint.max_keep_ckpts == 2
    assert run.cfg.optim_wrapper.type.endswith('AmpOptimWrapper')
