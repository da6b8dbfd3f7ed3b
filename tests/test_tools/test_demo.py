"""``tools/demo.py``: what it trains. ``test_demo_classification.py`` has the rest of both demos."""

import runpy

import pytest
from mmengine.config import Config

from tests.test_tools.paths import TOOLS

pytest.importorskip('mmseg')


def test_the_runs_differ_in_their_loss_alone():
    runs = runpy.run_path(str(TOOLS / 'demo.py'))['RUNS']
    ce, recall = (Config.fromfile(config).to_dict() for config in runs.values())
    losses = [cfg['model']['decode_head'].pop('loss_decode')['type'] for cfg in (ce, recall)]
    assert losses == ['CrossEntropyLoss', 'RecallLoss']
    assert recall.pop('loss')['type'] == 'RecallLoss'
    hooks = ce.pop('custom_hooks')
    *others, of_recall = recall.pop('custom_hooks')
    assert others == hooks and of_recall['type'] == 'RecallWeightsHook'
    assert ce == recall
