"""``SynthiaSeq``: the drives through a drawn city that RecallLoss was measured on."""

from __future__ import annotations

from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

CLASSES = (
    # id in the published label images, name, colour in the published GT/COLOR images
    (1, 'sky', (128, 128, 128)),
    (2, 'building', (128, 0, 0)),
    (3, 'road', (128, 64, 128)),
    (4, 'sidewalk', (0, 0, 192)),
    (5, 'fence', (64, 64, 128)),
    (6, 'vegetation', (128, 128, 0)),
    (7, 'pole', (192, 192, 128)),
    (8, 'car', (64, 0, 128)),
    (9, 'traffic sign', (192, 128, 128)),
    (10, 'pedestrian', (64, 64, 0)),
    (11, 'bicycle', (0, 128, 192)),
    (12, 'lane marking', (0, 172, 0)),
    (15, 'traffic light', (0, 128, 128)),
)
IGNORED_IDS = (0, 13, 14)
"""Void, and two that are reserved and not used."""


@DATASETS.register_module()
class SynthiaSeq(BaseSegDataset):
    """SYNTHIA-SEQS-05-SUMMER, as ``tools/dataset_converters/synthia_seq.py`` leaves it.

    Thirteen classes. The published labels have sixteen ids: 0 is void and ignored (255), as in the
    paper's experiments; 13 and 14 are reserved, no pixel has them. The network gets no output for
    these three: an output that no pixel trains changes no score of the paper (the means are over
    the classes that occur), yet has no count for ``class_counts='auto'`` to find.

    The colours are those of the dataset's own GT/COLOR images.

    Args:
        img_suffix (str): See ``BaseSegDataset``.
        seg_map_suffix (str): See ``BaseSegDataset``.
        **kwargs: See ``BaseSegDataset``. ``ann_file`` is one of the converter's lists, such as
            ``'random/train.txt'``.

    Reference:
        Ros et al., The SYNTHIA Dataset, 2016; Tian et al., Recall Loss, 2021, Section 4.1.

    Example:
        >>> synthia = SynthiaSeq(lazy_init=True)
        >>> synthia.metainfo['classes'][-1], synthia.metainfo['palette'][-1]
        ('traffic light', [0, 128, 128])
    """

    METAINFO: ClassVar[dict] = dict(
        classes=tuple(name for _, name, _ in CLASSES),
        palette=[list(colour) for _, _, colour in CLASSES],
    )

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
