"""The command ``mmseg-recall`` from an empty folder."""

import subprocess
import sys
import zipfile

import pytest

from mmseg_recall_cli import main
from tests.test_tools.paths import ROOT
from tests.toy_runner import toy_config

COMMAND = (sys.executable, '-m', 'mmseg_recall_cli')
SLOW = {'cv2', 'mmengine', 'mmseg_recall', 'numpy', 'rich', 'torch'}


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Call the command in this process, from an empty folder."""

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mmseg-recall', *map(str, arguments)])
        main()

    monkeypatch.chdir(tmp_path)
    return call


@pytest.mark.parametrize('command', ['', 'check', 'counts', 'compare', 'train', 'test'])
def test_help_imports_nothing_slow(command, tmp_path):
    code = (
        'import sys, mmseg_recall_cli\n'
        f'sys.argv = ["mmseg-recall", *{command.split()!r}, "--help"]\n'
        'try:\n    mmseg_recall_cli.main()\nexcept SystemExit:\n    pass\n'
        'print("imported:", *sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told, _, imported = done.stdout.partition('imported:')
    assert told.startswith(f'usage: mmseg-recall {command or "COMMAND"} ')
    assert not SLOW & set(imported.split())


def test_unknown_command(command, capsys):
    with pytest.raises(SystemExit, match='2'):
        command('chekc')
    told = capsys.readouterr().err
    assert told.startswith("mmseg-recall: there is no command 'chekc'")
    assert 'compare' in told


def test_an_error_names_the_command(command, says):
    with says('^mmseg-recall check: no.py cannot be read: expected a config file'):
        command('check', 'no.py')


@pytest.mark.filterwarnings('ignore')
def test_check_from_an_empty_folder(run, tmp_path):
    pytest.importorskip('mmseg')
    cfg = toy_config(tmp_path / 'work_dir', dict(type='CrossEntropyLoss'))
    cfg.dump(tmp_path / 'toy.py')
    output = run(*COMMAND, 'check', 'toy.py', '--write', 'recall.py', PYTHONPATH=str(ROOT))
    assert '16 training images, 10 classes' in output
    assert '  mmseg-recall train recall.py' in output
    assert "_base_ = 'toy.py'" in (tmp_path / 'recall.py').read_text()


def test_the_wheel_has_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert 'mmseg_recall_cli.py' in archive.namelist()
        name = next(name for name in archive.namelist() if name.endswith('entry_points.txt'))
        assert 'mmseg-recall = mmseg_recall_cli:main' in archive.read(name).decode()
