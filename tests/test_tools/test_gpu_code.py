"""``tools/benchmarks/gpu_code.py``: what the GPU kernels are compiled to, where there is no GPU."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from mmseg_recall.ops import has_triton
from tests.test_tools.paths import TOOLS
from tests.test_tools.test_help import CHECK, SLOW

if not has_triton():
    pytest.skip('Triton is not installed', allow_module_level=True)

LATEST = tuple(map(int, version('triton').split('.')[:2])) >= (3, 8)
TOOL = TOOLS / 'benchmarks/gpu_code.py'


def run(*arguments, cache):
    environment = dict(os.environ, TRITON_CACHE_DIR=str(cache), PYTHONPATH=str(TOOLS.parent))
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    """The numbers of the Cityscapes shape, added to those of an earlier commit."""
    folder = tmp_path_factory.mktemp('gpu_code')
    path = folder / 'gpu_code.json'
    limits = dict(issue_limit_seconds=1.0, bandwidth_limit_seconds=1.0)
    earlier = {'cityscapes': {'A100': limits, 'H100': limits}}
    path.write_text(json.dumps(dict(commits=dict(earlier=earlier))))
    done = run('--shapes', 'cityscapes', '--output', path, cache=folder)
    assert done.returncode == 0, done.stderr
    assert path.with_suffix('.png').stat().st_size > 10000
    result = json.loads(path.read_text())
    assert result['commits'].pop('earlier') == earlier
    return next(iter(result['commits'].values()))['cityscapes']


@pytest.mark.skipif(not LATEST, reason='earlier compilers need more instructions and registers')
@pytest.mark.parametrize('device', ['A100', 'H100'])
def test_instructions_per_logit(result, device):
    """A property of the code: forward and backward of RecallLoss, with all that pads a tile."""
    assert 20 < result[device]['instructions_per_logit_in_loops'] <= 60
    assert result[device]['instructions_per_logit_in_all'] <= 75


@pytest.mark.skipif(not LATEST, reason='earlier compilers need more instructions and registers')
@pytest.mark.parametrize('device', ['A100', 'H100'])
def test_registers(result, device):
    for kernel in result[device]['kernels']:
        assert kernel['spilled_bytes'] == 0
        assert kernel['warps_on_a_processor'] >= 12


def test_bytes(result):
    """At least the logits and labels in each pass, and the gradient."""
    logits, labels = 4 * 2 * 19 * 97 * 97, 8 * 2 * 769 * 769
    assert 3 * logits + 2 * labels < result['H100']['bytes'] < 2 * (3 * logits + 2 * labels)


def test_help_imports_nothing_slow(tmp_path):
    command = [sys.executable, '-c', CHECK, str(TOOL)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not SLOW & set(done.stdout.partition('imported:')[2].split())
