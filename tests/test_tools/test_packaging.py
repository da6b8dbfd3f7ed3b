"""What a wheel holds and asks for, and that the shell scripts parse."""

import re
import subprocess
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


@pytest.mark.parametrize('place', ['mmseg_recall/.mim/', '.mmseg_recall/.mim/'])
def test_wheel_carries_what_mim_looks_for(names, place):
    expected = files_of('configs') | files_of('tools') | {'model-index.yml'}
    assert {name.removeprefix(place) for name in names if name.startswith(place)} == expected


def test_wheel_carries_every_module(names):
    assert {name for name in files_of('mmseg_recall') if name.endswith('.py')} <= names


def test_requires_no_mm_package_unless_asked(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = archive.read(name).decode()
    requirements = re.findall(r'^Requires-Dist: ([\w-]+)(.*)$', metadata, re.MULTILINE)
    assert {name for name, rest in requirements if 'extra' not in rest} == {'numpy', 'torch'}
    extras = re.findall(r'^Provides-Extra: (\S+)$', metadata, re.MULTILINE)
    assert set(extras) == {'dev', 'onedl', 'openmmlab'}


def test_model_index_names_the_metafiles():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = {path for path in files_of('configs') if path.endswith('/metafile.yml')}
    assert set(index['Import']) == metafiles


@pytest.mark.parametrize('script', sorted(TOOLS.glob('*.sh')), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert script.stat().st_mode & 0o100, f'{script.name} is not executable'
