"""``AnyDeviceRunner``: files that a data loader cannot read are named."""

import cv2
import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmseg_recall.engine.runner import AnyDeviceRunner
from mmseg_recall.files import InputError

SCOPE = 'mmseg'
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


@pytest.fixture
def loader(tmp_path):
    """Makes a loader of two images, whose pipeline begins by loading them and their labels."""

    def build(*transforms, num_workers=0, wrap=False):
        for folder, shape in (('images', (8, 8, 3)), ('labels', (8, 8))):
            (tmp_path / folder).mkdir()
            for index in range(2):
                cv2.imwrite(str(tmp_path / f'{folder}/{index}.png'), np.zeros(shape, np.uint8))
        dataset = dict(
            type='BaseSegDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            img_suffix='.png',
            metainfo=dict(classes=['road']),
            pipeline=[*LOAD, *transforms],
        )
        if wrap:
            dataset = dict(type='RepeatDataset', times=2, dataset=dataset)
        sampler = dict(type='DefaultSampler', shuffle=False)
        return AnyDeviceRunner.build_dataloader(
            dict(batch_size=1, num_workers=num_workers, dataset=dataset, sampler=sampler)
        )

    return build


@pytest.mark.parametrize(('num_workers', 'wrap'), [(0, False), (0, True), (1, True)])
@pytest.mark.parametrize(
    ('file', 'expected'), [('labels/1.png', 'a label map'), ('images/1.png', 'an image')]
)
def test_a_file_that_cannot_be_read_is_named(loader, tmp_path, num_workers, wrap, file, expected):
    batches = loader(dict(type='PackSegInputs'), num_workers=num_workers, wrap=wrap)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=f'{path} cannot be read: expected {expected}, but got'):
        list(batches)


def test_readable_files_and_errors_of_other_transforms_stay_as_they_are(loader):
    batches = loader(dict(type='Resize', scale=(4, 4)), dict(type='PackSegInputs'))
    assert [batch['inputs'][0].shape for batch in batches] == [(3, 4, 4)] * 2
    batches.dataset.pipeline.transforms.insert(2, lambda results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(batches)
