"""Running the tools as a user does: other processes, started from an empty folder."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run(tmp_path):
    """Run a command from an empty folder; fail with its output unless it succeeds."""

    def run_command(*command, **environment):
        # The environment's own `python` and `mim` first, as after activating it.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
        done = subprocess.run(
            [str(part) for part in command],
            cwd=tmp_path,
            env={**os.environ, 'PATH': path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run_command


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])
