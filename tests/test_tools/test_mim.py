"""``mim train`` from an empty folder, through this package's tool and MMSegmentation's own."""

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from tests.processes import free_port
from tests.test_tools.paths import TINY, TOY

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('mim') is None, reason='mim is not installed'
)


@pytest.fixture
def train(run, tmp_path):
    """Train by mim on CPU, and see that it came to the end."""

    def train_by_mim(package, config, *launch, **environment):
        options = ['--work-dir', 'work', '--cfg-options', *TINY, 'train_cfg.max_iters=2']
        output = run('mim', 'train', package, config, *launch, *options, **environment)
        assert 'mIoU' in output
        assert (tmp_path / 'work/iter_2.pth').exists()

    return train_by_mim


def test_this_package_from_its_wheel(train, run, wheel, tmp_path):
    """By the config's name alone: mim finds it, and the tool, in what the wheel installs."""
    site = tmp_path / 'site'
    pip = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--no-compile']
    run(*pip, '--target', site, wheel)
    launch = ['--launcher', 'pytorch', '--gpus', 2, '--port', free_port()]
    train('mmseg-recall', TOY.name, *launch, PYTHONPATH=str(site))


def test_mmsegmentation(train):
    package = 'onedl-mmsegmentation'
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f'{package} is not installed')
    train(package, TOY, '--gpus', 0)
