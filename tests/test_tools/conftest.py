"""Running the tools as a user does: other processes, started from an empty folder."""

import os
import re
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import run_script
from tests.test_tools.paths import ROOT, TOOLS

BUILD = 'from setuptools import build_meta; print(build_meta.build_{kind}({folder!r}))'


@pytest.fixture
def run(tmp_path):
    """Run a command from an empty folder; fail with its output unless it succeeds."""

    def run_command(*command, **environment):
        command = [str(part) for part in command]
        # The environment's own `python` and `mim` first, as after activating it.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
        # One thread each: on a busy machine more wait for each other.
        environment = {'PATH': path, 'OMP_NUM_THREADS': '1', **environment}
        python, script, *arguments = command
        if python == sys.executable and script.endswith('.py'):
            status, output = run_script(script, arguments, tmp_path, environment)
        else:
            status, output = run_process(command, tmp_path, environment)
        assert status == 0, output[-4000:]
        return output

    def run_process(command, folder, environment):
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    return run_command


@pytest.fixture(autouse=True)
def modules_beside_the_tools(monkeypatch):
    """What Python does where a tool is started: its own folder is searched first."""
    for folder in (TOOLS / 'analysis_tools', TOOLS):
        monkeypatch.syspath_prepend(folder)


@pytest.fixture
def says(capsys):
    """Check that a tool of this process ends with status 2 and one sentence on stderr."""

    @contextmanager
    def check(sentence):
        with pytest.raises(SystemExit) as stopped:
            yield
        told = capsys.readouterr().err
        assert stopped.value.code == 2, stopped.value
        assert re.search(sentence, told.splitlines()[-1]), told

    return check


@pytest.fixture(scope='session')
def wheel(tmp_path_factory):
    """The wheel as made from the source distribution, so that both are seen to be complete."""
    folder = tmp_path_factory.mktemp('packages')
    with tarfile.open(_build('sdist', ROOT, folder)) as archive:
        archive.extractall(folder)
    source = next(path for path in folder.iterdir() if path.is_dir())
    before = sorted(source.iterdir())
    built = _build('wheel', source, folder)
    assert sorted(source.iterdir()) == before, 'the build left something in the source folder'
    return built


def _build(kind, source, folder):
    command = [sys.executable, '-c', BUILD.format(kind=kind, folder=str(folder))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]
