"""Killed at half and resumed equals uninterrupted, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmseg')

from tests.toy_runner import build_toy_runner

ROOT = Path(__file__).resolve().parents[2]
LOSS = dict(type='RecallLoss', alpha=0.3)
KILLED = """
import sys, time
from pathlib import Path
from mmengine.hooks import Hook
from tests.test_engine.test_resume import LOSS
from tests.toy_runner import build_toy_runner

class Hang(Hook):
    priority = 'LOWEST'
    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == 5:  # one iteration past the checkpoint is lost and done again
            print('at half', flush=True)
            time.sleep(600)

runner = build_toy_runner(Path(sys.argv[1]), LOSS)
runner.register_hook(Hang())
runner.train()
"""


def final_state(work_dir):
    return torch.load(work_dir / 'iter_8.pth', map_location='cpu', weights_only=False)


def assert_equal(a, b, path=''):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_equal(a[key], b[key], f'{path}/{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_equal(x, y, f'{path}/{i}')
    else:
        assert a == b, path


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    build_toy_runner(tmp_path / 'whole', LOSS).train()

    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    with subprocess.Popen(
        [sys.executable, '-c', KILLED, str(tmp_path / 'killed')],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while 'at half' not in (line := process.stdout.readline()):
            assert line, 'the training ended before it could be killed'
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / 'killed/iter_6.pth').exists()

    time.sleep(1)  # MMEngine names a run's log folder by the second
    build_toy_runner(tmp_path / 'killed', LOSS, resume=True).train()

    whole, resumed = final_state(tmp_path / 'whole'), final_state(tmp_path / 'killed')
    assert 'decode_head.loss_decode.recall' in whole['state_dict']
    for part in ('state_dict', 'optimizer'):
        assert_equal(whole[part], resumed[part], part)
