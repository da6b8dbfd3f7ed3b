"""Writing files whole, and one sentence for what cannot be read."""

import json
import os
import re
import stat
import sys
import warnings

import numpy as np
import pytest
import torch

from mmseg_recall.files import (
    InputError,
    MissingInputError,
    input_errors,
    read_checkpoint,
    read_or_rebuild,
    read_weights,
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


def test_reading_names_the_file(tmp_path):
    path = tmp_path / 'counts.json'
    path.write_text('{"counts": [1, ')
    message = r'counts\.json cannot be read: expected counts, but got JSONDecodeError: Expecting'
    with pytest.raises(InputError, match=message), reading(path, 'counts'):
        json.loads(path.read_text())
    message = r'none\.json cannot be read: expected counts, but got FileNotFoundError'
    with pytest.raises(MissingInputError, match=message), reading('none.json', 'counts'):
        (tmp_path / 'none.json').read_text()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'text\n'])
def test_damaged_checkpoint(tmp_path, content):
    pytest.importorskip('mmengine')
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'epoch_1\.pth cannot be read: expected a checkpoint'):
        read_checkpoint(path)


def test_checkpoint_without_a_dictionary(tmp_path):
    pytest.importorskip('mmengine')
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(InputError, match='list in place of a dictionary'):
        read_checkpoint(tmp_path / 'list.pth')


def test_reading_leaves_other_errors():
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


# --- checkpoints of which no code may run ---------------------------------------------------------

TOLD_WHAT_IS_SAFE = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6)


class Attack:
    """Runs code where it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f'open({str(self.path)!r}, "w")',)


def with_logs(path):
    from mmengine.logging import HistoryBuffer

    logs = dict(log_scalars={'train/loss': HistoryBuffer([1.0, 2.0], [1, 1])}, eta=np.float64(3))
    meta = dict(iter=8, palette=np.arange(6).reshape(2, 3))
    torch.save(dict(meta=meta, state_dict=dict(weight=torch.eye(2)), message_hub=logs), path)


@pytest.mark.skipif(not TOLD_WHAT_IS_SAFE, reason='needs torch 2.6')
def test_weights_beside_the_logs_of_mmengine(tmp_path):
    pytest.importorskip('mmengine')
    with_logs(tmp_path / 'iter_8.pth')
    checkpoint = read_weights(tmp_path / 'iter_8.pth')
    assert torch.equal(checkpoint['state_dict']['weight'], torch.eye(2))
    assert checkpoint['meta']['iter'] == 8
    np.testing.assert_array_equal(checkpoint['meta']['palette'], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.skipif(TOLD_WHAT_IS_SAFE, reason='torch can be told what is safe')
def test_logs_of_mmengine_where_torch_is_old(tmp_path):
    pytest.importorskip('mmengine')
    with_logs(tmp_path / 'iter_8.pth')
    with pytest.raises(
        InputError, match=r'iter_8\.pth holds a .*, which torch 2\..* cannot load .*or use torch 2'
    ):
        read_weights(tmp_path / 'iter_8.pth')


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    torch.save(dict(state_dict={}, extra=Attack(tmp_path / 'ran')), tmp_path / 'evil.pth')
    with pytest.raises(InputError, match=r'evil\.pth holds a .*exec, which torch') as told:
        read_weights(tmp_path / 'evil.pth')
    assert not (tmp_path / 'ran').exists()
    assert ('or use torch 2.6' in str(told.value)) != TOLD_WHAT_IS_SAFE


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'text\n'])
def test_damaged_weights(tmp_path, content):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r'epoch_1\.pth cannot be read: expected a checkpoint, but'
    ):
        read_weights(path)
    with pytest.raises(MissingInputError, match=r'none\.pth cannot be read'):
        read_weights(tmp_path / 'none.pth')


# --- caches ---------------------------------------------------------------------------------------


def test_cache_is_built_once_and_again_when_damaged(tmp_path):
    path, built = tmp_path / 'cache.json', []

    def read(path):
        with reading(path, 'a number'):
            return json.loads(path.read_text())

    def rebuild(path):
        built.append(path)
        path.write_text('7')

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert [read_or_rebuild(path, read, rebuild) for _ in range(2)] == [7, 7]
    assert built == [path]
    path.write_text('{')
    with pytest.warns(UserWarning, match=r'cache\.json cannot be read: .*It is built') as warned:
        assert read_or_rebuild(path, read, rebuild) == 7
    assert len(warned) == 1 and built == [path, path]
