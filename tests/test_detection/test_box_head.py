"""The losses as ``loss_cls`` of MMDetection's box heads, against the formulas in plain loops."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

pytest.importorskip('mmdet', reason='MMDetection is not installed: make test-detection')

from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseg_recall.losses import LOSSES
from tests.processes import in_two_processes
from tests.tolerances import FLOAT64

SCOPE = 'mmdet'
C = 4
COUNTS = [40, 10, 5, 2]
#: Of nine boxes; C is background. Those of weight 0 do not count.
LABELS = [0, 0, 1, 3, C, C, C, 2, C]
WEIGHTS = [1.0, 0.0, 1.0, 2.0, 1.0, 1.0, 0.0, 1.0, 1.0]


def shifts():
    """log(C n_j / n), and none for background."""
    return [math.log(C * n / sum(COUNTS)) for n in COUNTS] + [0]


def class_balanced(beta):
    """(1 - beta) / (1 - beta^n), 1 on average, and 1 for background."""
    plain = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    return [C * w / sum(plain) for w in plain] + [1]


def mean(losses):
    """Over the boxes that count: what MMDetection gives as avg_factor."""
    return sum(w * loss for w, loss in zip(WEIGHTS, losses)) / sum(w > 0 for w in WEIGHTS)


def log_p(z, shift=(0,) * (C + 1)):
    z = torch.stack([z[j] + shift[j] for j in range(C + 1)])
    return z - z.logsumexp(0)


def one_vs_all(z, y, shift=(0,) * C, gamma=0):
    """The sum over the C classes; background is none of them, and is not shifted."""
    total = 0
    for j in range(C):
        logit = z[j] + (shift[j] if y < C else 0)
        p = torch.sigmoid(logit if j == y else -logit)
        total = total - (1 - p) ** gamma * p.log()
    return total


def balanced_softmax(z):
    return mean([-log_p(row, shifts())[y] for row, y in zip(z, LABELS)])


def balanced_sigmoid(z):
    n = sum(COUNTS)
    shift = [math.log(m / (n - m)) + math.log(C - 1) for m in COUNTS]
    return mean([one_vs_all(row, y, shift) for row, y in zip(z, LABELS)])


def cb_softmax(z):
    return mean([class_balanced(0.9)[y] * -log_p(row)[y] for row, y in zip(z, LABELS)])


def cb_sigmoid(z):
    return mean([class_balanced(0.9)[y] * one_vs_all(row, y) for row, y in zip(z, LABELS)])


def cb_focal(z):
    losses = [class_balanced(0.9)[y] * one_vs_all(row, y, gamma=0.5) for row, y in zip(z, LABELS)]
    return mean(losses)


def ldam(z):
    losses = []
    for row, y in zip(z, LABELS):
        margin = 0.5 * (COUNTS[y] / min(COUNTS)) ** -0.25 if y < C else 0
        losses.append(
            -log_p(3 * torch.stack([row[j] - margin * (j == y) for j in range(C + 1)]))[y]
        )
    return mean(losses)


def focal(z):
    return mean([-((1 - log_p(row)[y].exp()) ** 2) * log_p(row)[y] for row, y in zip(z, LABELS)])


def inverse_frequency(z):
    weight = [1 / n for n in COUNTS]
    weight = [C * w / sum(weight) for w in weight] + [1]
    return mean([weight[y] * -log_p(row)[y] for row, y in zip(z, LABELS)])


def geometric_mean(z):
    terms = []
    for c in set(LABELS):
        rows = [row for row, y, w in zip(z, LABELS, WEIGHTS) if y == c and w > 0]
        terms.append(-torch.log(sum(log_p(row, shifts())[c].exp() for row in rows) / len(rows)))
    return sum(terms) / len(terms)


def recalls(z, factor=1.0):
    """The recall of each class, background too, of the boxes that count."""
    found = []
    for c in range(C + 1):
        rows = [row for row, y, w in zip(z, LABELS, WEIGHTS) if y == c and w > 0]
        found.append(factor * sum(row.argmax().item() == c for row in rows) / len(rows))
    return found


def recall(z):
    return mean([(1 - recalls(z)[y]) * -log_p(row)[y] for row, y in zip(z, LABELS)])


def recall_average(z):
    """The first step of a moving average from 0."""
    return mean([(1 - recalls(z, 0.3)[y]) * -log_p(row)[y] for row, y in zip(z, LABELS)])


COUNTED = dict(class_counts=COUNTS)
REFERENCES = {
    'balanced softmax': (dict(type='BalancedSoftmaxLoss', **COUNTED), balanced_softmax),
    'balanced sigmoid': (
        dict(type='BalancedSoftmaxLoss', base='sigmoid', **COUNTED),
        balanced_sigmoid,
    ),
    'class-balanced': (dict(type='ClassBalancedLoss', beta=0.9, **COUNTED), cb_softmax),
    'class-balanced sigmoid': (
        dict(type='ClassBalancedLoss', beta=0.9, base='sigmoid', **COUNTED),
        cb_sigmoid,
    ),
    'class-balanced focal': (
        dict(type='ClassBalancedLoss', beta=0.9, base='focal', **COUNTED),
        cb_focal,
    ),
    'LDAM': (dict(type='LDAMLoss', scale=3.0, **COUNTED), ldam),
    'focal': (dict(type='SoftmaxFocalLoss', gamma=2.0), focal),
    'inverse frequency': (dict(type='InverseFrequencyLoss', **COUNTED), inverse_frequency),
    'geometric mean': (dict(type='GeometricMeanLoss', **COUNTED), geometric_mean),
    'recall': (dict(type='RecallLoss'), recall),
    'recall, moving average': (dict(type='RecallLoss', alpha=0.3), recall_average),
}
#: What has nothing of its own for background.
OTHERS = {
    'dice': dict(type='MetricWeightedLoss', metric='dice'),
    'OHEM': dict(type='OHEMLoss'),
    'soft IoU': dict(type='SoftIoULoss'),
}
EVERY = {**{name: config for name, (config, _) in REFERENCES.items()}, **OTHERS}


def build_head(loss_cls, num_classes=C, **arguments):
    with_reg = arguments.pop('with_reg', False)
    return MODELS.build(
        dict(
            type='BBoxHead',
            in_channels=3,
            roi_feat_size=1,
            num_classes=num_classes,
            with_reg=with_reg,
            loss_cls=dict(loss_cls),
            **arguments,
        )
    )


def outputs(config):
    return C if config.get('base', 'softmax') != 'softmax' else C + 1


def make_logits(config):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(len(LABELS), outputs(config), generator=generator, dtype=torch.double)
    return (2 * z).requires_grad_()


def loss_of(head, logits, labels=LABELS, weights=WEIGHTS, **arguments):
    """What the head's own ``loss`` says of the classes."""
    weights = torch.tensor(weights, dtype=logits.dtype)
    return head.loss(logits, None, None, torch.tensor(labels), weights, None, None, **arguments)


def test_every_loss_is_tried():
    assert {config['type'] for config in EVERY.values()} == {loss.__name__ for loss in LOSSES}


@pytest.mark.parametrize('name', REFERENCES)
def test_value_and_gradient(name):
    config, reference = REFERENCES[name]
    head = build_head(config)
    logits = make_logits(config)
    losses = loss_of(head, logits)
    assert set(losses) == {'loss_cls', 'acc'}
    if name == 'geometric mean':  # a mean over boxes of one weight
        losses = loss_of(head, logits, weights=[float(w > 0) for w in WEIGHTS])
    expected = reference(logits)
    torch.testing.assert_close(losses['loss_cls'], expected, **FLOAT64)
    (gradient,) = torch.autograd.grad(losses['loss_cls'], logits)
    (exact,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, exact, **FLOAT64)
    counted = torch.tensor(WEIGHTS) > 0
    assert (gradient[~counted] == 0).all() and gradient[counted].abs().sum() > 0


@pytest.mark.parametrize('name', EVERY)
def test_gradcheck(name):
    config = EVERY[name]
    head = build_head(config).eval()  # a moving average would move
    assert torch.autograd.gradcheck(lambda z: loss_of(head, z)['loss_cls'], make_logits(config))


@pytest.mark.parametrize('name', OTHERS)
def test_background_is_a_class_like_others(name):
    config = OTHERS[name]
    logits = make_logits(config)
    weights = torch.tensor(WEIGHTS, dtype=torch.double)
    plain = MODELS.build(config)(logits, torch.tensor(LABELS), weights, avg_factor=7.0)
    torch.testing.assert_close(loss_of(build_head(config), logits)['loss_cls'], plain)


def test_without_counts_that_differ_it_is_cross_entropy():
    """Equal counts shift nothing, background neither."""
    config = dict(type='BalancedSoftmaxLoss', class_counts=[7] * C)
    logits = make_logits(config)
    plain = loss_of(build_head(dict(type='CrossEntropyLoss')), logits)
    losses = loss_of(build_head(config), logits)
    # MMDetection adds float32's epsilon to what it divides by.
    torch.testing.assert_close(losses['loss_cls'], plain['loss_cls'], rtol=1e-6, atol=0)
    assert losses['acc'].item() == pytest.approx(plain['acc'].item())


@pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
def test_class_weights_leave_background(base):
    """Those of deferred re-weighting and MetaReweighter are for the C classes."""
    config = dict(type='BalancedSoftmaxLoss', base=base, class_counts=[7] * C)
    head, logits = build_head(config), make_logits(config)
    head.loss_cls.set_class_weight(torch.tensor([1.0, 2.0, 3.0, 4.0]), normalize=False)
    if base == 'softmax':
        losses = [-log_p(row)[y] for row, y in zip(logits, LABELS)]
    else:
        losses = [one_vs_all(row, y) for row, y in zip(logits, LABELS)]
    weighted = mean([[1, 2, 3, 4, 1][y] * loss for y, loss in zip(LABELS, losses)])
    torch.testing.assert_close(loss_of(head, logits)['loss_cls'], weighted, **FLOAT64)


@pytest.mark.parametrize('name', EVERY)
def test_none_is_the_loss_of_each_box(name):
    """MMDetection's OHEMSampler asks for it."""
    config = EVERY[name]
    head, logits = build_head(config), make_logits(config)
    if name in ('soft IoU', 'geometric mean'):
        with pytest.raises(ValueError, match="reduction_override='none' has no meaning for"):
            loss_of(head, logits, reduction_override='none')
        return
    losses = loss_of(head, logits, reduction_override='none')['loss_cls']
    assert losses.shape == (len(LABELS),)
    assert (losses[torch.tensor(WEIGHTS) == 0] == 0).all()


def test_another_reduction_is_an_error():
    head = build_head(dict(type='RecallLoss'))
    with pytest.raises(ValueError, match="reduction_override must be one of None, 'mean', 'none'"):
        loss_of(head, make_logits({}), reduction_override='sum')


@pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
def test_counts_of_another_number_of_classes(base):
    config = dict(type='BalancedSoftmaxLoss', base=base, class_counts=[3, 2, 1])
    with pytest.raises(ValueError, match='class_counts has 3 numbers.*C=4 classes and background'):
        loss_of(build_head(config), make_logits(config))


def test_label_out_of_range():
    config = dict(type='BalancedSoftmaxLoss', base='sigmoid', **COUNTED)
    with pytest.raises(ValueError, match='target has the label 5'):
        loss_of(build_head(config), make_logits(config), labels=[5] * len(LABELS))


def test_background_of_255_classes_counts():
    """It has the label that MMSegmentation ignores."""
    for base in ('softmax', 'sigmoid'):
        config = dict(type='BalancedSoftmaxLoss', base=base, class_counts=[1.0] * 255)
        head = build_head(config, num_classes=255)
        logits = torch.zeros(2, head.fc_cls.out_features, dtype=torch.double)
        loss = loss_of(head, logits, labels=[255, 255], weights=[1.0, 1.0])['loss_cls']
        expected = math.log(256) if base == 'softmax' else 255 * math.log(2)
        assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize('name', ['balanced softmax', 'balanced sigmoid', 'LDAM', 'recall'])
def test_predict(name):
    config = EVERY[name]
    head = build_head(config, with_reg=True, reg_class_agnostic=True)
    logits = make_logits(config).detach().float()
    boxes = torch.tensor([[10.0 * n, 0, 10 * n + 8, 8] for n in range(len(LABELS))])
    rois, deltas = bbox2roi([boxes]), torch.zeros(len(boxes), 4)
    cfg = ConfigDict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    meta = [dict(img_shape=(100, 100))]
    (raw,) = head.predict_by_feat((rois,), (logits,), (deltas,), meta, None)
    (kept,) = head.predict_by_feat((rois,), (logits,), (deltas,), meta, cfg)
    if name == 'balanced sigmoid':
        expected = F.pad(logits.sigmoid(), (0, 1))
    else:
        expected = (logits * (3 if name == 'LDAM' else 1)).softmax(1)
    torch.testing.assert_close(raw.scores, expected)
    scores = expected[:, :C].flatten().sort(descending=True).values
    torch.testing.assert_close(kept.scores, scores)
    assert kept.labels.max() < C


def test_accuracy():
    """Of the sigmoids none above 1/2 means background."""
    head = build_head(dict(type='BalancedSoftmaxLoss', base='sigmoid', **COUNTED))
    z = torch.tensor([[3.0, 1, -1, -1], [-1, -2, -1, -1], [1, 2, 0, 0], [-1, -1, 2, -1]])
    assert head.loss_cls.get_accuracy(z, torch.tensor([0, C, 0, 2]))['acc'].item() == 75


@pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
def test_cascade_refines_boxes(base):
    """From the likeliest class, also of a box that is background."""
    config = dict(type='BalancedSoftmaxLoss', base=base, **COUNTED)
    head = build_head(config, with_reg=True)
    boxes = torch.tensor([[0.0, 0, 8, 8], [20, 0, 30, 10]])
    cls_score, bbox_pred = head(torch.randn(2, 3))
    results = dict(
        rois=bbox2roi([boxes]),
        bbox_targets=(torch.tensor([1, C]),),
        cls_score=cls_score,
        bbox_pred=bbox_pred,
    )
    sampled = InstanceData(pos_is_gt=torch.zeros(1, dtype=torch.uint8))
    refined = head.refine_bboxes([sampled], results, [dict(img_shape=(64, 64))])
    assert refined[0].bboxes.shape == (2, 4)


def test_which_loss_a_name_is():
    """This package's, where MMDetection has none of the name; its focal loss is its own."""
    for loss in LOSSES:
        assert MODELS.get(loss.__name__) is loss
    assert MODELS.get('FocalLoss').__module__.startswith('mmdet.')
    assert MODELS.get('CrossEntropyLoss').__module__.startswith('mmdet.')


def test_one_stage_heads_have_the_scores_of_their_own():
    """They never ask for outputs, and read the scores of the classes alone."""
    loss, logits = MODELS.build(dict(type='RecallLoss')), torch.randn(2, C + 1)
    torch.testing.assert_close(loss.get_activation(logits), logits.softmax(1)[:, :-1])


def test_copies_and_checkpoints():
    config = dict(type='BalancedSoftmaxLoss', **COUNTED)
    head = build_head(config)
    logits = make_logits(config)
    other = copy.deepcopy(head)
    other.load_state_dict(head.state_dict())
    torch.testing.assert_close(loss_of(other, logits), loss_of(head, logits))


# --- two processes ------------------------------------------------------------------------------

#: How many of the boxes the first process has.
FIRST = 6


def train(head, shard=slice(None)):
    """Losses and gradients of two steps, so that a moving average moves."""
    features = torch.randn(
        len(LABELS), 3, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )
    inner = getattr(head, 'module', head)
    history = []
    for _ in range(2):
        head.zero_grad()
        logits, _ = head(features[shard])
        loss = loss_of(inner, logits, LABELS[shard], WEIGHTS[shard])['loss_cls']
        loss.backward()
        history.append((loss.detach(), [p.grad.clone() for p in head.parameters()]))
    return history


def make_head(config):
    torch.manual_seed(0)
    return build_head(config).double().train()


def train_all(rank):
    shard = slice(None, FIRST) if rank == 0 else slice(FIRST, None)
    return {
        name: train(DistributedDataParallel(make_head(config)), shard)
        for name, config in EVERY.items()
    }


@pytest.fixture(scope='module')
def results():
    return in_two_processes(train_all)


@pytest.mark.parametrize('name', EVERY)
def test_two_processes_equal_one(results, name):
    expected = train(make_head(EVERY[name]))
    for rank in range(2):
        torch.testing.assert_close(results[rank][name], expected, **FLOAT64)
