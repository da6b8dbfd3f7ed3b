"""``tools/analysis_tools/class_counts.py`` from an empty folder, for both libraries."""

import json
import sys

import cv2
import numpy as np
import pytest

from mmseg_recall.losses import ClassBalancedLoss
from tests.test_tools.paths import TINY, TOOLS, TOY

TOOL = TOOLS / 'analysis_tools/class_counts.py'
CLASSIFICATION = """
default_scope = 'mmpretrain'
custom_imports = dict(imports='two_birds')
model = dict(
    type='ImageClassifier',
    head=dict(num_classes=3, loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.5)),
)
train_dataloader = dict(dataset=dict(type='TwoBirds'))
"""
DATASET = """
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

@DATASETS.register_module()
class TwoBirds(BaseDataset):
    METAINFO = dict(classes=('robin [sitting]', 'ibis [/flying]', '_wren'))

    def load_data_list(self):
        return [dict(gt_label=label) for label in [0] * 100 + [2] * 50]
"""


def test_segmentation(run, tmp_path):
    pytest.importorskip('mmseg')
    options = ['--cfg-options', *TINY, 'train_dataloader.dataset.num_images=8']
    files = ['--output', 'new/counts.json', '--plot', 'new/tail.png']
    output = run(sys.executable, TOOL, TOY, *files, '--workers', 2, *options)

    content = json.loads((tmp_path / 'new/counts.json').read_text())
    assert content['classes'][:2] == ['sky', 'road']
    assert content['unit'] == 'pixels'
    assert 0.8 * 8 * 48 * 32 < sum(content['counts']) <= 8 * 48 * 32
    assert max(content['images']) == content['num_images'] == 8
    # The table starts with the most frequent class.
    most = int(np.argmax(content['counts']))
    rows = [line for line in output.splitlines() if line.startswith('│')]
    assert content['classes'][most] in rows[0] and f'{content["counts"][most]:,}' in rows[0]
    assert cv2.imread(str(tmp_path / 'new/tail.png')).std() > 5  # not blank

    loss = ClassBalancedLoss(class_counts=tmp_path / 'new/counts.json', min_count=1)
    assert loss.class_counts.tolist() == [max(1, count) for count in content['counts']]


def test_classification_with_warnings(run, tmp_path):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'config.py').write_text(CLASSIFICATION)
    (tmp_path / 'two_birds.py').write_text(DATASET)
    output = run(
        sys.executable, TOOL, 'config.py', '--output', 'counts.json', PYTHONPATH=str(tmp_path)
    )
    assert json.loads((tmp_path / 'counts.json').read_text()) == dict(
        classes=['robin [sitting]', 'ibis [/flying]', '_wren'],
        unit='samples',
        counts=[100, 0, 50],
        images=[100, 0, 50],
        num_images=150,
    )
    assert '│ robin [sitting] │' in output
    assert 'Warning: never seen: ibis [/flying]. Remove these classes' in output
    assert 'Warning: beta=0.5 balances nothing here: every class has at least 50' in output
