"""``mim train`` from an empty folder, through this package's tool and MMSegmentation's own."""

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from tests.test_tools.paths import TINY, TOY


def is_installed(dist):
    try:
        distribution(dist)
    except PackageNotFoundError:
        return False
    return True


@pytest.mark.skipif(importlib.util.find_spec('mim') is None, reason='mim is not installed')
@pytest.mark.parametrize(
    ('package', 'config'), [('mmseg-recall', TOY.name), ('onedl-mmsegmentation', TOY)]
)
def test_two_processes_on_cpu(package, config, run, tmp_path, free_port):
    if not is_installed(package):
        pytest.skip(f'{package} is not installed')
    launch = ['--launcher', 'pytorch', '--gpus', 2, '--port', free_port]
    options = ['--work-dir', 'work', '--cfg-options', *TINY, 'train_cfg.max_iters=2']
    output = run('mim', 'train', package, config, *launch, *options)
    assert 'mIoU' in output
    assert (tmp_path / 'work/iter_2.pth').exists()
