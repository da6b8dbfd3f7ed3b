"""Reading the scalars that MMEngine writes."""

import pytest
from mmengine.visualization import LocalVisBackend

from mmseg_recall.engine import read_scalars
from mmseg_recall.files import InputError


def test_reads_what_mmengine_writes(tmp_path):
    backend = LocalVisBackend(save_dir=str(tmp_path / 'work' / '20250101_000000' / 'vis_data'))
    backend.add_scalars({'recall/pole': 0.25, 'recall/road': 1.0, 'lr': 0.1}, step=10)
    backend.add_scalars({'recall/road': 0.5}, step=20)
    expected = {'pole': {10: 0.25}, 'road': {10: 1.0, 20: 0.5}}
    assert read_scalars(tmp_path / 'work', 'recall/') == expected


def test_later_start_wins(tmp_path):
    for time, value in (('20250101_000000', 0.1), ('20250101_000500', 0.9)):
        folder = tmp_path / time / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(f'{{"a/x": {value}, "step": 5}}\n')
    assert read_scalars(tmp_path, 'a/') == {'x': {5: 0.9}}


def test_unfinished_last_line_is_skipped(tmp_path):
    log = tmp_path / 'scalars.json'
    log.write_text('{"a/x": 1, "step": 5}\n{"a/x": 2, "st')
    assert read_scalars(log, 'a/') == {'x': {5: 1}}


@pytest.mark.parametrize('line', ['nonsense', '5', '{"a/x": 2}'])
def test_broken_line(tmp_path, line):
    log = tmp_path / 'scalars.json'
    log.write_text(f'{line}\n{{"a/x": 1, "step": 5}}\n')
    with pytest.raises(InputError, match=f'scalars.json, line 1 is not a JSON .* step.*: {line!r}'):
        read_scalars(log, 'a/')


def test_file_that_is_no_text(tmp_path):
    log = tmp_path / 'scalars.json'
    log.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(InputError, match='scalars.json cannot be read: expected the scalars of a'):
        read_scalars(log, 'a/')


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='neither a scalars.json nor a work directory'):
        read_scalars(tmp_path, 'a/')
