r"""Prepare SYNTHIA-SEQS-05-SUMMER for ``SynthiaSeq``: label maps and lists of the three sets.

    python tools/dataset_converters/synthia_seq.py SYNTHIA-SEQS-05-SUMMER --out-dir data/synthia_seq

Reads RGB and GT/LABELS as published and leaves under ``--out-dir``

    img_dir                             a link to RGB (the images are not copied)
    ann_dir/Stereo_*/Omni_*/*.png       class indices, 8 bit, 255 where void
    SPLIT/{train,val,test}.txt          lists for ``ann_file``

Each camera folder is cut 70/10/20, n frames into floor(0.7 n), floor(0.1 n) and the rest: 550, 78
and 159 of 787, in total 4400, 624 and 1272. ``--split sorted`` cuts it in the order of the frames.
``--split random``, the one of the recall loss paper, shuffles the frames first, by Python's
``random`` seeded with 0 for each folder, as the authors' released loader does. That loader shuffles
the files in the order in which the file system happens to list them; here they are sorted before,
so that everybody gets the same split.

Files that are missing or broken are named at the end (exit status 1) and left out; the other frames
stay in the set they belong to. Run it again after repairing them, or after an interruption: it
checks all images and converts what is not done.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SEQUENCE = 'SYNTHIA-SEQS-05-SUMMER'
CAMERAS = tuple(
    f'{side}/{direction}'
    for direction in ('Omni_B', 'Omni_F', 'Omni_L', 'Omni_R')
    for side in ('Stereo_Left', 'Stereo_Right')
)
SETS = ('train', 'val', 'test')
IGNORED = 255


class BadFile(Exception):
    """A file of the data set that is missing, broken or not what it should be."""


def prepare(args: argparse.Namespace) -> None:
    from mmseg_recall.files import input_errors
    from mmseg_recall.functional import checks

    with input_errors():
        workers = checks.integer('--workers', args.workers, low=1)
    root, out = find_sequence(Path(args.root)), Path(args.out_dir)
    link_images(root / 'RGB', out / 'img_dir')
    frames = {camera: list_frames(root, camera) for camera in CAMERAS}
    bad = convert_all(root, out, frames, workers)
    sizes = write_lists(out / args.split, frames, args.split, bad)
    print(', '.join(f'{size} {name}' for name, size in sizes.items()), f'in {out / args.split}')
    if bad:
        lines = '\n'.join(f'  {reason}' for reason in bad.values())
        raise SystemExit(f'{len(bad)} missing or broken, left out:\n{lines}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', help=f'folder {SEQUENCE}, or the one it is in')
    parser.add_argument('-o', '--out-dir', default='data/synthia_seq', help='default: %(default)s')
    parser.add_argument(
        '--split', choices=('random', 'sorted'), default='random', help='default: %(default)s'
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='threads, default: %(default)s'
    )
    return parser.parse_args()


def find_sequence(root: Path) -> Path:
    """The folder that holds RGB and GT/LABELS."""
    for folder in (root, root / SEQUENCE):
        if (folder / 'RGB').is_dir() and (folder / 'GT/LABELS').is_dir():
            return folder
    from mmseg_recall.files import InputError

    raise InputError(f'root must be {SEQUENCE} with RGB and GT/LABELS in it, but got {root}')


def link_images(images: Path, link: Path) -> None:
    from mmseg_recall.files import InputError

    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() and not link.exists():
        link.symlink_to(images.resolve())
    if link.resolve() != images.resolve():
        raise InputError(f'{link} must be a link to {images}, but is something else: remove it')


def list_frames(root: Path, camera: str) -> list[str]:
    """The frames that a camera folder has an image or a label map of, sorted."""
    folders = (root / 'RGB' / camera, root / 'GT/LABELS' / camera)
    return sorted({path.stem for folder in folders for path in folder.glob('*.png')})


def split(frames: Sequence[str], how: str) -> dict[str, list[str]]:
    """Cut the sorted frames of one camera folder."""
    frames = list(frames)
    if how == 'random':
        random.Random(0).shuffle(frames)
    train, val = int(0.7 * len(frames)), int(0.1 * len(frames))
    return dict(train=frames[:train], val=frames[train : train + val], test=frames[train + val :])


def write_lists(
    folder: Path, frames: dict[str, list[str]], how: str, bad: dict[str, str]
) -> dict[str, int]:
    """Write the list of each set without the bad frames, and give their lengths."""
    from mmseg_recall.files import written_whole

    lists: dict[str, list[str]] = {name: [] for name in SETS}
    for camera in CAMERAS:
        for name, part in split(frames[camera], how).items():
            lists[name] += [f'{camera}/{frame}' for frame in part]
    for name, entries in lists.items():
        lists[name] = [entry for entry in entries if entry not in bad]
        with written_whole(folder / f'{name}.txt') as unfinished:
            unfinished.write_text(''.join(f'{entry}\n' for entry in lists[name]))
    return {name: len(entries) for name, entries in lists.items()}


def convert_all(
    root: Path, out: Path, frames: dict[str, list[str]], workers: int
) -> dict[str, str]:
    """Convert what is not done; for each bad frame (or camera without any) what is wrong."""
    from rich.progress import track

    bad = {camera: f'RGB/{camera}: no *.png' for camera in CAMERAS if not frames[camera]}
    entries = [f'{camera}/{frame}' for camera in CAMERAS for frame in frames[camera]]
    with ThreadPoolExecutor(workers) as pool:  # decoding and checksums leave Python's lock alone
        reasons = pool.map(partial(convert, root, out), entries)
        for entry, reason in track(zip(entries, reasons), 'SYNTHIA', total=len(entries)):
            if reason:
                bad[entry] = reason
    return bad


def convert(root: Path, out: Path, entry: str) -> str | None:
    """Check a frame's files and write its label map, unless done; what is wrong with it."""
    from mmseg_recall.files import written_whole

    image, labels = f'RGB/{entry}.png', f'GT/LABELS/{entry}.png'
    target = out / 'ann_dir' / f'{entry}.png'
    try:
        size = png_size(root, image)
        if png_size(root, labels) != size:
            raise BadFile(f'{labels}: not of the size of {image}')
        if not is_done(target, root / labels, size):
            content = encode(class_indices(root, labels))
            with written_whole(target) as unfinished:
                unfinished.write_bytes(content)
    except BadFile as error:
        target.unlink(missing_ok=True)
        return str(error)
    return None


def png_size(root: Path, name: str) -> tuple[int, int]:
    """Width and height of a PNG file that has all its bytes, by their checksums."""
    from PIL import Image

    try:
        with Image.open(root / name) as image:
            image.verify()
            return image.size
    except FileNotFoundError:
        raise BadFile(f'{name}: missing') from None
    except Exception as error:  # Pillow has no class of its own for what a broken file raises
        raise BadFile(f'{name}: broken ({type(error).__name__})') from error


def is_done(target: Path, source: Path, size: tuple[int, int]) -> bool:
    if not target.exists() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
        return False
    try:
        return png_size(target.parent, target.name) == size
    except BadFile:
        return False


def class_indices(root: Path, name: str) -> np.ndarray:
    """The classes of a published label image, ``(height, width)`` of uint8."""
    import cv2
    import numpy as np

    image = cv2.imread(str(root / name), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.dtype != np.uint16:
        raise BadFile(f'{name}: not a label image of 16 bits and 3 channels')
    ids = image[..., 2]  # OpenCV's order; channel 1 numbers the instances
    index = index_of_id()
    if ids.max() >= len(index):
        raise BadFile(f'{name}: has class id {ids.max()}, expected 0 to {len(index) - 1}')
    return index[ids]


def encode(labels: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode('.png', labels)[1].tobytes()


@cache
def index_of_id() -> np.ndarray:
    """The class index of each published id."""
    import numpy as np

    from mmseg_recall.datasets.synthia_seq import CLASSES, IGNORED_IDS

    index = np.full(len(CLASSES) + len(IGNORED_IDS), IGNORED, np.uint8)
    index[[number for number, _, _ in CLASSES]] = range(len(CLASSES))
    return index


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(prepare, args)


if __name__ == '__main__':
    main()
