"""The examples train for five steps, without any mm* package."""

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.test_tools.paths import ROOT

#: The library that each needs beside torch and numpy.
LIBRARIES = dict(
    plain_pytorch='torch',
    hugging_face_segformer='transformers',
    lightning_module='lightning',
    smp_unet='segmentation_models_pytorch',
)
EXAMPLES = sorted((ROOT / 'examples').glob('*.py'))
#: Runs an example as a script where no package of OpenMMLab can be imported.
RUN = """
import runpy, sys
sys.modules.update(dict.fromkeys(('mmcv', 'mmengine', 'mmpretrain', 'mmseg')))
example = sys.argv.pop(1)
runpy.run_path(example, run_name='__main__')
"""


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda path: path.stem)
def test_example_trains(example, tmp_path):
    library = LIBRARIES[example.stem]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f'{library} is not installed here: make test-examples')
    command = [sys.executable, '-c', RUN, str(example), '--steps', '5']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r'\bloss\W+(\d[\d.e-]*)', done.stdout)]
    assert len(losses) == 5 and all(loss > 0 for loss in losses)


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(example):
    assert len(example.read_text(encoding='utf-8').splitlines()) < 80
