"""Writing files whole, and one sentence for what cannot be read."""

import json
import os
import re
import stat
import sys

import pytest

from mmseg_recall.files import (
    InputError,
    input_errors,
    read_checkpoint,
    read_json,
    reading,
    run_tool,
    written_whole,
)


def test_written_whole(tmp_path):
    path = tmp_path / 'new/folder/file.txt'
    for content in ('first', 'second'):
        with written_whole(path) as unfinished:
            unfinished.write_text(content)
            assert not path.exists() or path.read_text() == 'first'
        assert path.read_text() == content
    assert [file.name for file in path.parent.iterdir()] == ['file.txt']


def test_same_process_id_on_two_machines(tmp_path, monkeypatch):
    """Two containers may have the same process id, so it must not name the file."""
    monkeypatch.setattr(os, 'getpid', lambda: 1)
    path = tmp_path / 'file.txt'
    with written_whole(path) as first, written_whole(path) as second:
        first.write_text('first')
        second.write_text('second')
        assert first.read_text() == 'first'
    assert path.read_text() == 'first'  # the outer block ends last


def test_interrupted_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), written_whole(path) as unfinished:
        unfinished.write_text('ne')
        raise KeyboardInterrupt
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_of_any_new_file(tmp_path):
    """What one user counted, the group must be able to read."""
    (tmp_path / 'usual').touch()
    with written_whole(tmp_path / 'whole') as unfinished:
        unfinished.touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('usual', 'whole')]
    assert modes[0] == modes[1]


def test_read_json(tmp_path):
    path = tmp_path / 'counts.json'
    path.write_text('{"counts": [1, 2]}')
    assert read_json(path, 'counts') == dict(counts=[1, 2])
    path.write_text('{"counts": [1, ')
    with pytest.raises(
        InputError, match=r'counts\.json cannot be read: expected counts, but got J'
    ):
        read_json(path, 'counts')
    with pytest.raises(InputError, match=r'none\.json cannot be read: .* FileNotFoundError'):
        read_json(tmp_path / 'none.json', 'counts')


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'text\n'])
def test_damaged_checkpoint(tmp_path, content):
    pytest.importorskip('mmengine')
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'epoch_1\.pth cannot be read: expected a checkpoint'):
        read_checkpoint(path)


def test_checkpoint_without_a_dictionary(tmp_path):
    pytest.importorskip('mmengine')
    torch = pytest.importorskip('torch')
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(InputError, match='list in place of a dictionary'):
        read_checkpoint(tmp_path / 'list.pth')


def test_reading_leaves_other_errors(tmp_path):
    with pytest.raises(KeyError), reading('file', 'a file', (OSError,)):
        raise KeyError('name')
    with pytest.raises(InputError, match='^a sentence$'), reading('file', 'a file'):
        raise InputError('a sentence')


def test_input_errors():
    with pytest.raises(InputError, match='tau must be'), input_errors():
        raise ValueError('tau must be at least 0')
    with pytest.raises(TypeError), input_errors():
        raise TypeError


def test_tool_says_one_sentence(monkeypatch, capsys):
    def main(path):
        json.loads('1')
        raise InputError(f'{path} cannot be read')

    monkeypatch.setattr(sys, 'argv', ['tools/some_tool.py'])
    with pytest.raises(SystemExit) as stopped:
        run_tool(main, 'file.json')
    assert stopped.value.code == 2
    assert capsys.readouterr().err == 'some_tool.py: file.json cannot be read\n'


def test_tool_shows_errors_of_the_program():
    def main():
        raise ValueError('a bug')

    with pytest.raises(ValueError, match=re.escape('a bug')):
        run_tool(main)
