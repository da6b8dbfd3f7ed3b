"""Trainings side by side: what a run that fails does to the others, and what is said of it."""

import io
import time

import pytest
from mmengine.config import Config
from rich.console import Console

from mmseg_recall.engine.side_by_side import LOG, _bars, _plain_line, train_all


def fail_or_wait(config, folder):
    if folder.name == 'bad':
        raise RuntimeError('broken on purpose')
    time.sleep(600)


def test_a_failure_stops_all_and_names_its_log(tmp_path, capsys):
    path = tmp_path / 'config.py'
    Config(dict(train_cfg=dict(max_iters=10))).dump(path)
    begin = time.monotonic()
    with pytest.raises(SystemExit) as raised:
        train_all(fail_or_wait, dict(good=path, bad=path), tmp_path / 'runs [bold]')
    assert time.monotonic() - begin < 300
    message = str(raised.value)
    assert 'RuntimeError: broken on purpose' in message
    log = tmp_path / 'runs [bold]' / 'bad' / LOG
    assert f'The training of bad failed (exit code 1). Its log: {log}' in message
    assert str(log) in capsys.readouterr().out


def test_progress_says_how_long_it_will_take():
    runs, clock = ('CE', 'SDN-Recall'), [0]
    progress = _bars(runs)
    progress.get_time = lambda: clock[-1]
    tasks = [progress.add_task(run, total=600, state='starting') for run in runs]
    assert _plain_line(progress) == '   0 s  CE 0/600 starting  |  SDN-Recall 0/600 starting'
    for seconds in (10, 20, 30):
        clock.append(seconds)
        for task, speed in zip(tasks, (2, 1)):
            progress.update(task, completed=speed * seconds, state='loss 12.345')
    assert _plain_line(progress).endswith('SDN-Recall 30/600 loss 12.345  |  about 570 s left')
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    terminal.print(progress)
    lines = terminal.file.getvalue().splitlines()
    assert [line.rstrip()[-12:] for line in lines] == ['0:04:30 left', '0:09:30 left']
