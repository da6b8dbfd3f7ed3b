"""``tools/dataset_converters/synthia_seq.py`` on a small tree of the published layout."""

import os
import random
import runpy
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmengine.registry import DefaultScope

from mmseg_recall.datasets.synthia_seq import SynthiaSeq
from tests.test_tools.paths import TOOLS
from tests.test_tools.synthia_tree import CAMERAS, published_ids, write_synthia

TOOL = TOOLS / 'dataset_converters/synthia_seq.py'
# The published ids, from the data set's own table.
IDS = {
    'sky': 1,
    'building': 2,
    'road': 3,
    'sidewalk': 4,
    'fence': 5,
    'vegetation': 6,
    'pole': 7,
    'car': 8,
    'traffic sign': 9,
    'pedestrian': 10,
    'bicycle': 11,
    'lane marking': 12,
    'traffic light': 15,
}
FRAMES = 20


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    return write_synthia(tmp_path_factory.mktemp('published'), FRAMES)


@pytest.fixture
def own_tree(tmp_path):
    return write_synthia(tmp_path / 'own')


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    def run(sequence, out='out', *arguments):
        argv = [TOOL, sequence, '--out-dir', tmp_path / out, *arguments]
        monkeypatch.setattr(sys, 'argv', [str(part) for part in argv])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run


def lists(folder):
    return {name: (folder / f'{name}.txt').read_text().split() for name in ('train', 'val', 'test')}


def files(folder):
    """Everything in a folder but the linked images, by path."""
    paths = (path for path in folder.rglob('*') if path.is_file() and 'img_dir' not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_sizes_of_the_published_sequence():
    """R Sec. 4.1: 4400, 624 and 1272 images, of eight cameras with 787 frames."""
    split = runpy.run_path(str(TOOL))['split']
    frames = [f'{number:06d}' for number in range(787)]
    for how in ('random', 'sorted'):
        parts = split(frames, how)
        assert [8 * len(parts[name]) for name in ('train', 'val', 'test')] == [4400, 624, 1272]
        assert sorted(sum(parts.values(), [])) == frames


@pytest.mark.parametrize('how', ['random', 'sorted'])
def test_lists(convert, published, tmp_path, how):
    output = convert(published, 'out', '--split', how)
    assert '112 train, 16 val, 32 test' in output  # 14, 2 and 4 of the 20 frames of a camera
    order = [f'{frame:06d}' for frame in range(FRAMES)]
    if how == 'random':  # what the released loader calls, on sorted files
        random.seed(0)
        random.shuffle(order)
    written = lists(tmp_path / 'out' / how)
    for camera in CAMERAS:
        parts = dict(train=order[:14], val=order[14:16], test=order[16:])
        for name, expected in parts.items():
            of_camera = [entry for entry in written[name] if entry.startswith(f'{camera}/')]
            assert of_camera == [f'{camera}/{frame}' for frame in expected]
    assert len(set().union(*written.values())) == 8 * FRAMES


def test_labels_as_the_dataset_reads_them(convert, published, tmp_path):
    convert(published.parent)  # the folder around the sequence will do
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = SynthiaSeq(
            data_root=str(tmp_path / 'out'),
            ann_file='random/train.txt',
            data_prefix=dict(img_path='img_dir', seg_map_path='ann_dir'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        )
    assert len(dataset) == 112
    classes = dataset.metainfo['classes']
    assert set(classes) == set(IDS)
    for index in (0, 60, 111):
        entry = dataset[index]
        *_, side, direction, name = entry['img_path'].split('/')
        ids = published_ids(f'{side}/{direction}', int(name[:6]))
        expected = np.full(ids.shape, 255)
        for label, class_name in enumerate(classes):
            expected[ids == IDS[class_name]] = label
        np.testing.assert_array_equal(entry['gt_seg_map'], expected)
        assert {0, 13, 14} == set(ids[expected == 255].tolist())
        original = cv2.imread(str(published / 'RGB' / side / direction / name))
        np.testing.assert_array_equal(entry['img'], original)


def test_again_and_with_other_workers_the_same(convert, published, tmp_path):
    convert(published, 'one', '--workers', 1)
    convert(published, 'many', '--workers', 4)
    once = files(tmp_path / 'one')
    assert len(once) == 8 * FRAMES + 3
    assert files(tmp_path / 'many') == once
    label = tmp_path / 'one/ann_dir/Stereo_Left/Omni_F/000003.png'
    written = label.stat().st_mtime_ns
    label.with_name('000004.png').write_bytes(label.read_bytes()[:-20])
    convert(published, 'one')
    assert files(tmp_path / 'one') == once
    assert label.stat().st_mtime_ns == written, 'converted again'


def test_newer_labels_are_converted_again(convert, own_tree, tmp_path):
    convert(own_tree)
    path = own_tree / 'GT/LABELS/Stereo_Left/Omni_F/000003.png'
    cv2.imwrite(str(path), np.full((16, 24, 3), 11, np.uint16))
    convert(own_tree)
    new = cv2.imread(str(tmp_path / 'out/ann_dir/Stereo_Left/Omni_F/000003.png'), -1)
    assert np.unique(new).tolist() == [SynthiaSeq.METAINFO['classes'].index('bicycle')]


def test_bad_files_are_named(convert, own_tree, tmp_path):
    convert(own_tree, 'good')
    images, labels = own_tree / 'RGB', own_tree / 'GT/LABELS'
    for frame in range(10):
        (images / f'Stereo_Right/Omni_R/{frame:06d}.png').unlink()
        (labels / f'Stereo_Right/Omni_R/{frame:06d}.png').unlink()
    (images / 'Stereo_Left/Omni_B/000000.png').unlink()
    (labels / 'Stereo_Left/Omni_B/000001.png').unlink()
    broken = images / 'Stereo_Left/Omni_F/000002.png'
    broken.write_bytes(broken.read_bytes()[:-100])
    changed = bytearray((labels / 'Stereo_Left/Omni_F/000003.png').read_bytes())
    changed[len(changed) // 2] ^= 1
    (labels / 'Stereo_Left/Omni_F/000003.png').write_bytes(changed)
    (labels / 'Stereo_Left/Omni_F/000004.png').write_bytes(b'')
    for name, label in (
        ('000005', np.zeros((16, 24), np.uint16)),
        ('000006', np.zeros((16, 24, 3), np.uint8)),
        ('000007', np.zeros((16, 20, 3), np.uint16)),
        ('000008', np.full((16, 24, 3), 16, np.uint16)),
    ):
        cv2.imwrite(str(labels / f'Stereo_Left/Omni_L/{name}.png'), label)
    with pytest.raises(SystemExit) as stopped:
        convert(own_tree)
    head, *named = str(stopped.value.code).splitlines()
    assert head == '10 missing or broken, left out:'
    for line in (
        'RGB/Stereo_Right/Omni_R: no *.png',
        'RGB/Stereo_Left/Omni_B/000000.png: missing',
        'GT/LABELS/Stereo_Left/Omni_B/000001.png: missing',
        'RGB/Stereo_Left/Omni_F/000002.png: broken (OSError)',
        'GT/LABELS/Stereo_Left/Omni_F/000003.png: broken (SyntaxError)',
        'GT/LABELS/Stereo_Left/Omni_F/000004.png: broken (UnidentifiedImageError)',
        'GT/LABELS/Stereo_Left/Omni_L/000005.png: not a label image of 16 bits and 3 channels',
        'GT/LABELS/Stereo_Left/Omni_L/000006.png: not a label image of 16 bits and 3 channels',
        'GT/LABELS/Stereo_Left/Omni_L/000007.png: not of the size of '
        'RGB/Stereo_Left/Omni_L/000007.png',
        'GT/LABELS/Stereo_Left/Omni_L/000008.png: has class id 16, expected 0 to 15',
    ):
        assert f'  {line}' in named
    assert len(named) == 10
    # The others are where they were, and no list names a frame without a label map.
    left_out = {entry.removesuffix('.png') for entry in files(tmp_path / 'good/ann_dir')}
    left_out -= {entry.removesuffix('.png') for entry in files(tmp_path / 'out/ann_dir')}
    assert len(left_out) == 9 + 10
    for name, entries in lists(tmp_path / 'good/random').items():
        expected = [entry for entry in entries if entry not in left_out]
        assert lists(tmp_path / 'out/random')[name] == expected
    assert not list((tmp_path / 'out').rglob('*.tmp'))


def test_killed_and_run_again(convert, own_tree, tmp_path):
    convert(own_tree, 'whole')
    # A label file that never ends: the killed process is surely in the middle of its work.
    stuck = own_tree / 'GT/LABELS/Stereo_Right/Omni_F/000004.png'
    content = stuck.read_bytes()
    stuck.unlink()
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    stuck.symlink_to(pipe)
    out = tmp_path / 'out'
    command = [sys.executable, TOOL, own_tree, '--out-dir', out, '--workers', '2']
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    rest = 8 * 10 - 1
    deadline = time.monotonic() + 120
    # Not rglob, which enters folders of unfinished files and fails where one goes meanwhile.
    while len(list(out.glob('ann_dir/*/*/*.png'))) < rest and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(out.rglob('*.txt'))
    assert len(files(out)) == rest
    # What a kill in the middle of a write leaves: a folder that nothing reads.
    late = out / 'ann_dir/Stereo_Right/Omni_R/000009.png'
    unfinished = late.with_name('000009.png.abc.tmp') / late.name
    unfinished.parent.mkdir()
    unfinished.write_bytes(late.read_bytes()[:30])
    late.unlink()
    stuck.unlink()
    stuck.write_bytes(content)
    convert(own_tree)
    assert unfinished.exists()
    unfinished.unlink()
    assert files(out) == files(tmp_path / 'whole')


def test_link_leads_to_the_images(convert, own_tree, tmp_path, says):
    convert(own_tree)
    assert (tmp_path / 'out/img_dir').resolve() == (own_tree / 'RGB').resolve()
    (tmp_path / 'out/img_dir').unlink()
    (tmp_path / 'out/img_dir').mkdir()
    with says('synthia_seq.py: .*img_dir must be a link to .*, but is something else: remove it'):
        convert(own_tree)


def test_wrong_arguments(convert, tmp_path, says):
    with says('root must be SYNTHIA-SEQS-05-SUMMER with RGB and GT/LABELS in it, but got'):
        convert(tmp_path)
    with says('--workers must be an integer of at least 1, but got 0'):
        convert(tmp_path, 'out', '--workers', 0)
    assert not (tmp_path / 'out').exists()
