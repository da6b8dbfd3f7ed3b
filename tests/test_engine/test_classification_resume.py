"""A training that another process began equals an uninterrupted one, bit for bit."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('mmpretrain')

from tests.processes import run_script
from tests.tiny_images import build_runner

SCOPE = 'mmpretrain'

ROOT = Path(__file__).resolve().parents[2]
CASES = dict(
    sdn=dict(
        head=dict(
            type='SDNHead',
            feature_loss=dict(type='RecallLoss', alpha=0.3),
            classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto'),
        ),
        custom_hooks=[dict(type='ClassCountsHook', num_workers=0)],
        **{'train_dataloader.sampler': dict(type='ClassAwareSampler', _delete_=True)},
    ),
    ensemble=dict(
        head=dict(type='EnsembleHead', loss=dict(type='GeometricMeanLoss', class_counts='auto')),
        custom_hooks=[
            dict(type='ClassCountsHook', num_workers=0),
            dict(type='FreezeHook', prefixes='backbone'),
        ],
    ),
)
INTERRUPTED = """
import sys
from pathlib import Path
from mmengine.hooks import Hook
from tests.test_engine.test_classification_resume import CASES, second_stage

class Interrupted(Exception):
    pass

class Interrupt(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == 5:  # of 6: the fourth and fifth are lost and done again
            raise Interrupted

folder = Path(sys.argv[1])
for case in CASES:
    runner = second_stage(folder, f'interrupted_{case}', case)
    runner.register_hook(Interrupt(), 'LOWEST')
    try:
        runner.train()
    except Interrupted:
        print('interrupted', case)
"""


def second_stage(folder, name, case, **options):
    """Two epochs of three iterations; the ensemble starts from a plain checkpoint."""
    options = {'optim_wrapper.optimizer.momentum': 0.9, **CASES[case], **options}
    if case == 'ensemble' and not options.get('resume'):
        options['load_from'] = str(folder / 'first/epoch_1.pth')
    return build_runner(folder / name, max_epochs=2, **options)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where every training was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp('resume')
    build_runner(folder / 'first', dict(type='LinearClsHead')).train()
    script = folder / 'interrupted.py'
    script.write_text(INTERRUPTED)
    status, output = run_script(script, [str(folder)], folder, dict(PYTHONPATH=str(ROOT)))
    assert status == 0, output[-4000:]
    for case in CASES:
        assert f'interrupted {case}' in output
        assert not (folder / f'interrupted_{case}/epoch_2.pth').exists()
    return folder


def checkpoint(folder, epoch):
    return torch.load(folder / f'epoch_{epoch}.pth', map_location='cpu', weights_only=False)


@pytest.mark.parametrize('case', CASES)
def test_resumed_equals_uninterrupted(folder, case):
    second_stage(folder, f'whole_{case}', case).train()
    second_stage(folder, f'interrupted_{case}', case, resume=True).train()

    first = checkpoint(folder / f'whole_{case}', 1)
    whole = checkpoint(folder / f'whole_{case}', 2)
    resumed = checkpoint(folder / f'interrupted_{case}', 2)
    for content in ('state_dict', 'optimizer'):
        parts = whole[content], resumed[content]
        if content == 'optimizer':
            parts = [part['state'] for part in parts]
            assert any('momentum_buffer' in state for state in parts[0].values())
        torch.testing.assert_close(*parts, rtol=0, atol=0)

    moved = {
        name
        for name, value in whole['state_dict'].items()
        if not torch.equal(value, first['state_dict'][name])
    }
    if case == 'ensemble':
        assert moved == {'head.fc.weight', 'head.fc.bias'}
    else:
        assert {'backbone.conv1.weight', 'head.feature_loss_module.recall'} <= moved
