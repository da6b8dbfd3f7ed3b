"""``--help`` of every tool answers at once: nothing that takes seconds is imported for it."""

import subprocess
import sys

import pytest

from tests.test_tools.paths import TOOLS

SCRIPTS = sorted(path for path in TOOLS.rglob('*.py') if not path.name.startswith('_'))
SLOW = {'cv2', 'matplotlib', 'mmcv', 'mmengine', 'mmseg_recall', 'numpy', 'rich', 'torch'}
# Runs the tool as a script, then names what it imported.
CHECK = """
import runpy, sys
from pathlib import Path
tool = sys.argv[1]
sys.argv = [tool, '--help']
sys.path.insert(0, str(Path(tool).parent))
try:
    runpy.run_path(tool, run_name='__main__')
except SystemExit as stopped:
    assert not stopped.code
print('imported:', *sys.modules)
"""


@pytest.mark.parametrize('tool', SCRIPTS, ids=lambda path: path.stem)
def test_help_imports_nothing_slow(tool, tmp_path):
    command = [sys.executable, '-c', CHECK, str(tool)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, _, imported = done.stdout.partition('imported:')
    assert told.startswith('usage: ') and 'show this help message' in told
    assert not SLOW & set(imported.split())
