"""What is imported, and what is said where a library is missing; each in a process of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = 'mmseg', 'mmpretrain', 'mmcv', 'torchvision'
HIDE = """
import importlib.util, sys, warnings
hidden = {hidden}
find_spec = importlib.util.find_spec
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in hidden:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Hidden())
importlib.util.find_spec = lambda name, *a: None if name in hidden else find_spec(name, *a)
"""


def run(code, hidden=()):
    code = HIDE.format(hidden=tuple(hidden)) + code
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_on_torch_alone(code, hidden=()):
    """Which is imported in half the time."""
    return run(code, ('mmengine', *LIBRARIES, *hidden))


def test_without_either_library():
    """MMEngine alone: its hooks are there; the parts that need more say what is missing."""
    done = run(
        """
import torch, mmseg_recall
from mmseg_recall.losses import RecallLoss
print(RecallLoss()(torch.zeros(2, 3), torch.tensor([0, 1])).item())
from mmseg_recall import datasets
for name in ('SynthiaSeq', 'PlacesLT'):
    try:
        getattr(datasets, name)
    except ImportError as error:
        print(error)
""",
        hidden=LIBRARIES,
    )
    assert done.returncode == 0, done.stderr
    loss, segmentation, classification = done.stdout.splitlines()
    assert float(loss) == pytest.approx(0.5493, abs=1e-4)
    assert segmentation.startswith('mmseg_recall.datasets.synthia_seq needs MMSegmentation: pip')
    assert classification.startswith('mmseg_recall.datasets.places_lt needs MMPretrain: pip')


@pytest.mark.parametrize(('used', 'other'), [('mmseg', 'mmpretrain'), ('mmpretrain', 'mmseg')])
def test_with_one_library(used, other):
    """Whoever has one library alone never imports the other (nor, for mmseg, torchvision)."""
    pytest.importorskip(used)
    hidden = ('mmpretrain', 'torchvision') if used == 'mmseg' else ('mmseg',)
    code = f"""
import mmseg_recall
from {used}.registry import MODELS
print(MODELS.get('RecallLoss').__name__, {other!r} in sys.modules)
"""
    done = run(code, hidden)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'RecallLoss False'


def test_with_a_broken_library(tmp_path):
    """A library that cannot be imported is named, and does not stop who uses the other one."""
    pytest.importorskip('mmpretrain')
    (tmp_path / 'mmseg.py').write_text("raise AssertionError('MMCV==3 is incompatible')")
    done = run(
        f"""
sys.path.insert(0, {str(tmp_path)!r})
import mmseg_recall
from mmpretrain.registry import MODELS
print(MODELS.get('RecallLoss').__name__)
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'RecallLoss'
    assert 'mmseg is installed but cannot be imported' in done.stderr
    assert 'AssertionError: MMCV==3 is incompatible' in done.stderr


def test_import_prints_nothing():
    """Not even that an optional package of MMSegmentation and MMPretrain is missing."""
    installed = {name for name in ('mmseg', 'mmpretrain') if importlib.util.find_spec(name)}
    done = run(f'import sys, mmseg_recall\nassert set(sys.modules) >= {installed}')
    assert done.returncode == 0, done.stderr
    assert done.stdout == ''


def test_import_prints_what_else_libraries_say(tmp_path):
    """Only the one line is left out."""
    pytest.importorskip('mmengine')
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import mmseg_recall.rooms as rooms
rooms.REGISTRIES = ('talkative',)
import importlib.util
importlib.util.find_spec = lambda name: True
rooms.register('mmseg_recall', [], [], {{}})
"""
    folder = tmp_path / 'talkative'
    folder.mkdir()
    (folder / '__init__.py').write_text("print('before\\nCould not import OneDL\\nafter')\n")
    (folder / 'registry.py').write_text('MODELS = None\n')
    done = run(code)
    assert done.stdout == 'before\nafter\n', done.stderr
