"""Fixtures for all tests."""

import copy
import gc
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

# Without a GPU Triton's interpreter runs the kernels; Triton has to know before it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')

from mmseg_recall import ops  # noqa: E402
from mmseg_recall.ops import BACKENDS  # noqa: E402
from tests.batches import SHAPES, make_batch  # noqa: E402
from tests.test_tools.paths import ROOT  # noqa: E402
from tests.triton_backend import use_triton  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        '--backend',
        choices=('portable', 'numba', 'triton'),
        help="what 'auto' is in all tests ('triton' is slow where there is no GPU: "
        'pytest --backend triton tests/test_losses tests/test_functional)',
    )


def pytest_collection_finish():
    """MMEngine collects garbage for each data set; what was imported need not be searched."""
    gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def _shipped_configs_are_read_once():
    """MMEngine reads each `_base_` again for each config, by way of a file: most of many tests."""
    read, known = Config._file2dict, {}

    def read_once(filename, *args, **kwargs):
        path = Path(filename).resolve()
        if not (path.is_relative_to(ROOT / 'configs') or '.mim' in path.parts):
            return read(filename, *args, **kwargs)
        environment = {**os.environ, 'PYTEST_CURRENT_TEST': ''}  # which configs may read
        key = path, args, *kwargs.items(), *environment.items()
        if key not in known:
            known[key] = read(filename, *args, **kwargs)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Config, '_file2dict', staticmethod(read_once))
        yield


@pytest.fixture(autouse=True, scope='module')
def _scope_of_the_library(request):
    """MMEngine looks names up in the library of the last Runner, whichever test built it."""
    scope = getattr(request.module, 'SCOPE', None)
    if scope:
        DefaultScope.get_instance(f'{request.path.stem}-{time.time()}', scope_name=scope)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch):
    """PyTorch waits five seconds for a reading process after an error, MMEngine two before an
    iteration loop goes through the data again."""
    monkeypatch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.2)
    monkeypatch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture(autouse=True)
def _automatic_backend(request, monkeypatch):
    name = request.config.getoption('--backend')
    if name == 'triton':
        use_triton(monkeypatch)
    if name:
        monkeypatch.setitem(BACKENDS, 'auto', BACKENDS[name])
        monkeypatch.setattr(ops, 'automatic', lambda device: name)


@pytest.fixture(params=['reference', 'portable', 'numba', 'triton'])
def backend(request, monkeypatch):
    if request.param == 'triton':
        use_triton(monkeypatch)
    if request.param == 'numba':
        pytest.importorskip('numba')
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda shapes: f'{shapes[0]}->{shapes[1]}')
def batch(request):
    return make_batch(*request.param)
