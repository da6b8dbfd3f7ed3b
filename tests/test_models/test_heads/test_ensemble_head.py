"""EnsembleHead: Eq. 11-13 of the geometric mean loss, and where each checkpoint goes."""

import copy
import math

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmengine.runner import load_checkpoint
from mmpretrain.structures import DataSample

from tests.tiny_images import build_model, build_runner
from tests.tolerances import assert_within_budget

SCOPE = 'mmpretrain'

LOSS = dict(type='GeometricMeanLoss', class_counts=[9, 6, 3])
HEAD = dict(type='EnsembleHead', loss=LOSS)
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def ensemble(**kwargs):
    """A model whose classifiers both tell the classes apart, each in its way."""
    model = build_model(dict(HEAD, **kwargs)).eval()
    with torch.no_grad():
        for classifier in (model.head.fc, model.head.old_fc):
            classifier.weight.normal_(std=3)
            classifier.bias.normal_()
    return model


def scores(model, images=IMAGES):
    return torch.stack([sample.pred_score for sample in model.predict(images)])


@pytest.mark.parametrize(('t_new', 't_old'), [(1.0, 1.0), (0.5, 3), (2, 0.1)])
def test_prediction(t_new, t_old):
    model = ensemble(t_new=t_new, t_old=t_old)
    (features,) = model.extract_feat(IMAGES)
    new = (model.head.fc(features) / t_new).softmax(1)
    old = (model.head.old_fc(features) / t_old).softmax(1)
    torch.testing.assert_close(scores(model), (new + old) / 2)
    torch.testing.assert_close(model(IMAGES).softmax(1), (new + old) / 2)
    torch.testing.assert_close(scores(ensemble(t_new=t_new, t_old=t_old, ensemble=False)), new)
    labels = torch.cat([sample.pred_label for sample in model.predict(IMAGES)])
    assert torch.equal(labels, (new + old).argmax(1))


@pytest.mark.parametrize(('t_new', 't_old'), [(1.0, 1.0), (0.2, 3.0), (4.0, 0.5)])
def test_prediction_against_float64(t_new, t_old):
    """Eq. 11-13 with plain loops."""
    head = ensemble(t_new=t_new, t_old=t_old).head
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(2))
    expected = []
    for row in features.tolist():
        mean = [0.0] * 3
        for classifier, t in ((head.fc, t_new), (head.old_fc, t_old)):
            logits = [
                bias + sum(w * x for w, x in zip(weights, row))
                for weights, bias in zip(classifier.weight.tolist(), classifier.bias.tolist())
            ]
            exponentials = [math.exp(z / t) for z in logits]
            mean = [p + e / sum(exponentials) / 2 for p, e in zip(mean, exponentials)]
        expected.append(mean)
    expected = torch.tensor(expected, dtype=torch.float64)
    samples = head.predict((features,))
    plain = (
        (head.fc(features) / t_new).softmax(1) + (head.old_fc(features) / t_old).softmax(1)
    ) / 2
    assert_within_budget(torch.stack([s.pred_score for s in samples]), plain, expected)
    assert [s.pred_label.item() for s in samples] == expected.argmax(1).tolist()


def test_certain_predictions_stay_finite():
    model = ensemble(t_new=1e-4, t_old=1e-4)
    assert scores(model).isfinite().all()
    torch.testing.assert_close(scores(model).sum(1), torch.ones(5))


def test_loss_is_that_of_the_new_classifier_at_temperature_1():
    model = ensemble(t_new=5.0, t_old=7.0, cal_acc=True, topk=2)
    linear = build_model(dict(type='LinearClsHead', loss=LOSS, cal_acc=True, topk=(2,))).eval()
    linear.load_state_dict(model.state_dict(), strict=False)
    samples = [DataSample().set_gt_label(label) for label in (0, 0, 1, 2, 2)]
    ours, theirs = model.loss(IMAGES, samples), linear.loss(IMAGES, samples)
    assert ours == theirs and sorted(ours) == ['accuracy_top-2', 'loss']


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize('library', ['torch', 'mmengine'])
def test_plain_checkpoint_goes_to_the_old_place(tmp_path, library, strict):
    plain = build_model(dict(type='LinearClsHead'))
    with torch.no_grad():
        plain.head.fc.weight.normal_()
        plain.head.fc.bias.normal_()
    model = build_model(dict(HEAD, loss=dict(type='CrossEntropyLoss')))
    new = copy.deepcopy(model.head.fc.state_dict())
    if library == 'torch':
        model.load_state_dict(plain.state_dict(), strict=strict)
    else:
        torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'plain.pth')
        load_checkpoint(model, str(tmp_path / 'plain.pth'), strict=strict)
    for name, value in plain.head.fc.state_dict().items():
        assert torch.equal(model.head.old_fc.state_dict()[name], value)
        assert torch.equal(model.head.fc.state_dict()[name], new[name])
    assert plain.head.fc.weight.std() > 0.1 > model.head.fc.weight.std() > 0
    assert 'head.old_fc.weight' not in plain.state_dict()


def test_own_checkpoint_loads_as_it_is():
    model, other = ensemble(), build_model(HEAD).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(scores(model), scores(other))
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_own_checkpoint_in_a_linear_head_is_the_new_classifier():
    model, linear = ensemble(ensemble=False), build_model(dict(type='LinearClsHead')).eval()
    linear.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(scores(model), scores(linear))


def test_second_stage(tmp_path):
    """Trains the new classifier only; resumes with both."""
    first = build_runner(tmp_path / 'first', dict(type='LinearClsHead'))
    first.train()
    before = first.model.state_dict()
    freeze = dict(type='FreezeHook', prefixes=['backbone'])
    options = dict(custom_hooks=[freeze, dict(type='ClassCountsHook')])
    head = dict(HEAD, loss=dict(type='GeometricMeanLoss', class_counts='auto'))
    load = dict(load_from=str(tmp_path / 'first/epoch_1.pth'))
    second = build_runner(tmp_path / 'second', head, **options, **load)
    second.train()
    after = second.model.state_dict()
    for name, value in before.items():
        assert torch.equal(after[name.replace('head.fc', 'head.old_fc')], value), name
    assert not torch.equal(after['head.fc.weight'], before['head.fc.weight'])

    resume = dict(resume=True, load_from=str(tmp_path / 'second/epoch_1.pth'))
    third = build_runner(tmp_path / 'third', head, max_epochs=2, **options, **resume)
    third.load_or_resume()
    for name, value in after.items():
        assert torch.equal(third.model.state_dict()[name], value), name


def test_training_without_a_checkpoint_warns_once(recwarn):
    model = build_model(HEAD)
    samples = [DataSample().set_gt_label(0) for _ in IMAGES]
    model.loss(IMAGES, samples)
    model.loss(IMAGES, samples)
    said = [str(w.message) for w in recwarn if 'EnsembleHead' in str(w.message)]
    assert len(said) == 1 and 'old classifier of random numbers' in said[0]


@pytest.mark.parametrize('name', ['t_new', 't_old'])
def test_wrong_temperatures(name):
    with pytest.raises(ValueError, match=rf'{name} must be in \(0, inf\), but got 0'):
        ensemble(**{name: 0})
    with pytest.raises(TypeError, match=rf"{name} must be a number in \(0, inf\), but got '1'"):
        ensemble(**{name: '1'})


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match='ensemble must be one of True, False, but got 2'):
        ensemble(ensemble=2)
    with pytest.raises(TypeError, match="loss must be a loss's config.*None"):
        ensemble(loss=None)
    with pytest.raises(TypeError, match='EnsembleHead has no argument tau, but takes loss, t_new'):
        ensemble(tau=1)
    with pytest.raises(ValueError, match='in_channels must be an integer of at least 1, but got 0'):
        ensemble(in_channels=0)
