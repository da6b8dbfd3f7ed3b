"""What a wheel holds and asks for, and that the shell scripts parse."""

import ast
import re
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.test_tools.paths import ROOT, TOOLS


@pytest.fixture
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files_of(folder):
    paths = (ROOT / folder).rglob('*')
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and '__pycache__' not in path.parts
    }


@pytest.mark.parametrize('place', ['mmseg_recall/.mim/', '+mmseg_recall/.mim/'])
def test_wheel_carries_what_mim_looks_for(names, place):
    expected = files_of('configs') | files_of('tools') | {'model-index.yml'}
    assert {name.removeprefix(place) for name in names if name.startswith(place)} == expected


def test_wheel_carries_the_whole_package(names):
    files = files_of('mmseg_recall')
    assert 'mmseg_recall/py.typed' in files
    assert 'mmseg_recall/visualization/templates/page.html' in files
    assert files <= names


def test_wheel_carries_the_toy_streets(names):
    scenes = [name for name in files_of('projects/toy_streets') if name.endswith('.py')]
    assert {name.replace('projects/', 'mmseg_recall_') for name in scenes} <= names


#: By the name it is imported by, where that is another one.
DISTRIBUTIONS = dict(
    cv2='opencv-python',
    PIL='pillow',
    sklearn='scikit-learn',
    mmcv='onedl-mmcv',
    mmengine='onedl-mmengine',
    mmseg='onedl-mmsegmentation',
    mmpretrain='onedl-mmpretrain',
)
#: PyTorch for CUDA brings it; a backend says so where it is missing.
OPTIONAL = {'triton'}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize('folder', ['mmseg_recall', 'projects', 'tools'])
def test_every_import_is_declared(wheel, folder):
    """By install_requires, or by the extra that README names."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = archive.read(name).decode()
    declared = {
        name.lower()
        for name, rest in re.findall(r'^Requires-Dist: ([\w-]+)(.*)$', metadata, re.MULTILINE)
        if 'extra' not in rest or 'onedl' in rest or 'detection' in rest
    }
    own = {path.stem for path in (ROOT / folder).rglob('*.py')} | {'mmseg_recall'}
    for path in (ROOT / folder).rglob('*.py'):
        for module in {name.split('.')[0] for name in imported(path)}:
            if module not in sys.stdlib_module_names | own | OPTIONAL | {'__future__'}:
                assert DISTRIBUTIONS.get(module, module) in declared, (path, module)


def test_requires_no_mm_package_unless_asked(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = archive.read(name).decode()
    requirements = re.findall(r'^Requires-Dist: ([\w-]+)(.*)$', metadata, re.MULTILINE)
    assert {name for name, rest in requirements if 'extra' not in rest} == {'numpy', 'torch'}
    extras = re.findall(r'^Provides-Extra: (\S+)$', metadata, re.MULTILINE)
    assert set(extras) == {'browser', 'detection', 'dev', 'fast', 'onedl', 'openmmlab', 'plots'}


def test_model_index_names_the_metafiles():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = {path for path in files_of('configs') if path.endswith('/metafile.yml')}
    assert set(index['Import']) == metafiles


@pytest.mark.parametrize('script', sorted(TOOLS.glob('*.sh')), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert script.stat().st_mode & 0o100, f'{script.name} is not executable'


def test_the_repository_has_one_address():
    texts = [(ROOT / name).read_text() for name in ('setup.py', 'CITATION.cff', 'README.md')]
    found = re.findall(r'https://github\.com/[\w.-]+/mmseg-recall', '\n'.join(texts))
    assert len(found) > 1 and len(set(found)) == 1
