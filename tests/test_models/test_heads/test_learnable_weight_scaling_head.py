"""LearnableWeightScalingHead: its logits, what trains, and which checkpoints load."""

import copy

import pytest
import torch

pytest.importorskip('mmpretrain')

from tests.tiny_images import build_model, build_runner

SCOPE = 'mmpretrain'

HEAD = dict(type='LearnableWeightScalingHead', loss=dict(type='CrossEntropyLoss'))
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('strict', [True, False])
def test_plain_checkpoint(strict):
    plain = build_model(dict(type='LinearClsHead')).eval()
    model = build_model(HEAD).eval()
    model.head.scale.data.fill_(7)
    model.load_state_dict(plain.state_dict(), strict=strict)
    assert torch.equal(model(IMAGES), plain(IMAGES))
    assert 'head.scale' not in plain.state_dict()


def test_logits_and_own_checkpoint():
    model, plain = build_model(HEAD).eval(), build_model(dict(type='LinearClsHead')).eval()
    model.head.fc.bias.data.normal_()
    scale = torch.tensor([1.0, 2.0, 0.5])
    model.head.scale.data.copy_(scale)
    plain.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model(IMAGES), scale * plain(IMAGES))
    other = build_model(HEAD).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(IMAGES), other(IMAGES))


def test_only_the_factors_train(tmp_path):
    hook = dict(type='FreezeHook', prefixes='backbone')
    runner = build_runner(tmp_path, HEAD, custom_hooks=[hook])
    runner.model.init_weights()
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    after = runner.model.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == ['head.scale']
    assert (after['head.scale'] != 1).all()


def test_wrong_arguments():
    with pytest.raises(TypeError, match="loss must be a loss's config.*None"):
        build_model(dict(HEAD, loss=None))
    with pytest.raises(TypeError, match='LearnableWeightScalingHead has no argument tau'):
        build_model(dict(HEAD, tau=1))
    with pytest.raises(ValueError, match='num_classes must be an integer of at least 1, but got 0'):
        build_model(dict(HEAD, num_classes=0))
