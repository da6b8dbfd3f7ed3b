"""What a wheel holds and asks for, and that the shell scripts parse."""

import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.test_tools.paths import ROOT, TOOLS

BUILD = 'from setuptools import build_meta; print(build_meta.build_{kind}({folder!r}))'


def build(kind, source, folder):
    command = [sys.executable, '-c', BUILD.format(kind=kind, folder=str(folder))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel as made from the source distribution, so that both are seen to be complete."""
    folder = tmp_path_factory.mktemp('packages')
    with tarfile.open(build('sdist', ROOT, folder)) as archive:
        archive.extractall(folder)
    source = next(path for path in folder.iterdir() if path.is_dir())
    with zipfile.ZipFile(build('wheel', source, folder)) as archive:
        yield archive
    assert not (source / 'build').exists()


def test_wheel_carries_what_mim_looks_for(wheel):
    expected = {'mmseg_recall/.mim/model-index.yml'}
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                expected.add(f'mmseg_recall/.mim/{path.relative_to(ROOT).as_posix()}')
    carried = {name for name in wheel.namelist() if name.startswith('mmseg_recall/.mim/')}
    assert carried == expected


def test_wheel_carries_every_module(wheel):
    modules = (ROOT / 'mmseg_recall').rglob('*.py')
    expected = {path.relative_to(ROOT).as_posix() for path in modules}
    assert expected <= set(wheel.namelist())


def test_requires_no_mm_package_unless_asked(wheel):
    name = next(name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
    metadata = wheel.read(name).decode()
    required = re.findall(r'^Requires-Dist: ([\w-]+)((?:(?!; ?extra|extra ==).)*)$', metadata, re.M)
    assert {package for package, _ in required} == {'numpy', 'torch'}
    assert set(re.findall(r'^Provides-Extra: (\S+)$', metadata, re.M)) == {
        'dev',
        'onedl',
        'openmmlab',
    }


@pytest.mark.parametrize('script', sorted(TOOLS.glob('*.sh')), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert script.stat().st_mode & 0o100, f'{script.name} is not executable'
