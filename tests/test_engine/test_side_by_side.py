"""Trainings side by side: what a run that fails does to the others, and what is said of it."""

import time

import pytest
from mmengine.config import Config

from mmseg_recall.engine.side_by_side import LOG, train_all


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
