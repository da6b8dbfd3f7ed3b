import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmengine.dataset import BaseDataset, RepeatDataset
from mmpretrain.registry import DATA_SAMPLERS

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.samplers import meta_sampler
from mmseg_recall.datasets.samplers.meta_sampler import MetaSampler

SCOPE = 'mmpretrain'

COUNTS = {0: 60, 1: 30, 3: 9, 4: 1}


class Labelled(BaseDataset):
    def __init__(self, labels=None):
        counted = [label for label, count in COUNTS.items() for _ in range(count)]
        self.labels = counted if labels is None else labels
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


def in_process(monkeypatch, rank, world_size):
    monkeypatch.setattr(meta_sampler, 'get_dist_info', lambda: (rank, world_size))


def shares(sampler, epochs):
    """How often each class and each image come."""
    images = Counter()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        images.update(sampler)
    classes = Counter()
    for index, times in images.items():
        classes[sampler.dataset.labels[index]] += times
    return classes, images


@pytest.mark.parametrize('power', [-1, -0.3, 0])
def test_first_rates(power):
    """Of an image proportional to n^power, in the numbers and in the draws."""
    sampler = MetaSampler(Labelled(), power=power, seed=0)
    assert sampler.classes.tolist() == [0, 1, 3, 4]
    total = sum(n * n**power for n in COUNTS.values())
    expected = {label: n * n**power / total for label, n in COUNTS.items()}
    assert sampler.log_rates.exp().tolist() == pytest.approx(list(expected.values()), rel=1e-12)
    classes, images = shares(sampler, 300)
    for label, rate in expected.items():
        draws = 30000 * rate
        assert abs(classes[label] - draws) < 4 * draws**0.5
    assert len(images) == 100
    for index, times in images.items():
        label = sampler.dataset.labels[index]
        draws = 30000 * expected[label] / COUNTS[label]
        assert abs(times - draws) < 4.5 * draws**0.5


def test_registered():
    sampler = DATA_SAMPLERS.build(
        dict(type='MetaSampler', seed=3), default_args=dict(dataset=Labelled())
    )
    assert len(sampler) == len(list(sampler)) == 100


def test_learned_rates_set_in_at_once():
    sampler = MetaSampler(Labelled(), seed=0)
    draws = iter(sampler)
    before = [next(draws) for _ in range(10)]
    sampler.set_log_rates(torch.tensor([-50.0, -50.0, 0.0, -50.0]))
    after = list(draws)
    assert {sampler.dataset.labels[index] for index in after} == {3}
    assert len(before + after) == 100
    # The numbers behind the draws are those of a run whose rates had been others before.
    assert list(sampler)[10:] == after


def test_an_epoch_depends_on_seed_and_epoch_alone():
    sampler, again = (MetaSampler(Labelled(), seed=7) for _ in range(2))
    first = list(sampler)
    assert first == list(sampler) == list(again)
    sampler.set_epoch(5)
    fifth = list(sampler)
    assert fifth != first
    again.set_epoch(5)  # as a resumed training does
    assert list(again) == fifth
    assert list(MetaSampler(Labelled(), seed=8)) != first


@pytest.mark.parametrize('world_size', [2, 3, 128])
def test_processes_share_an_epoch(monkeypatch, world_size):
    in_process(monkeypatch, 0, 1)
    whole = list(MetaSampler(Labelled(), seed=1))
    parts = []
    for rank in range(world_size):
        in_process(monkeypatch, rank, world_size)
        sampler = MetaSampler(Labelled(), seed=1)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == -(-100 // world_size)
    assert [index for turn in zip(*parts) for index in turn][:100] == whole


def test_a_seed_that_nobody_gave_is_shared(monkeypatch):
    monkeypatch.setattr(meta_sampler, 'sync_random_seed', lambda: 11)
    assert MetaSampler(Labelled()).seed == 11


def test_wrapped_dataset():
    sampler = MetaSampler(RepeatDataset(Labelled([0, 0, 2]), 2), seed=0)
    assert [images.tolist() for images in sampler.images] == [[0, 1, 3, 4], [2, 5]]


MEMORY = """
import json
import torch
from mmseg_recall.datasets.samplers.meta_sampler import MetaSampler
from mmseg_recall.functional import (
    gumbel_given_class, meta_gradient, straight_through_weights, summed_cross_entropy
)
CLASSES, IMAGES, BATCH, CHANNELS = 8142, 437513, 256, 64

class INaturalist:
    def __len__(self):
        return IMAGES
    def get_data_info(self, index):  # from thousands of images to some tens
        return dict(gt_label=int(CLASSES * (index / IMAGES) ** 2))

def megabytes():
    # Not getrusage: its peak is at least that of the process that started this one.
    peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
    return int(peak.split()[1]) / 1024

def step(sampler, labels):
    features = torch.randn(2, len(labels), CHANNELS)
    learned = sampler.log_rates.float().requires_grad_()
    log_rates = learned.log_softmax(0)
    weights = straight_through_weights(log_rates, labels, gumbel_given_class(log_rates, labels))
    uniform = torch.full((len(labels),), 1 / len(labels))
    gradient, _ = meta_gradient(
        dict(weight=torch.randn(len(log_rates), CHANNELS) / 8),
        weights.detach(),
        lambda p, w: summed_cross_entropy(features[0] @ p['weight'].T, labels, w * uniform, -1),
        lambda p: summed_cross_entropy(features[1] @ p['weight'].T, labels, uniform, -1),
        0.1,
    )
    (gradient,) = torch.autograd.grad(weights, learned, gradient)
    assert gradient.abs().sum() > 0
    sampler.set_log_rates(learned - gradient)

class Few:
    def __len__(self):
        return 4
    def get_data_info(self, index):
        return dict(gt_label=index % 2)

step(MetaSampler(Few(), seed=0), torch.tensor([0, 1]))  # code is loaded where it is first needed
before = megabytes()
dataset = INaturalist()
sampler = MetaSampler(dataset, seed=0)
draws = iter(sampler)
for _ in range(2):
    batch = [dataset.get_data_info(next(draws))['gt_label'] for _ in range(BATCH)]
    step(sampler, torch.tensor(batch))
print(json.dumps(dict(classes=len(sampler.classes), megabytes=megabytes() - before)))
"""


def test_memory_of_inaturalist():
    """Sampler and gradient step together; a batch times the images alone would take 448 MB."""
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, '-c', MEMORY],
        # Tensors that are freed go back at once, so that the peak is of what is in use.
        env=dict(os.environ, PYTHONPATH=root, MALLOC_MMAP_THRESHOLD_=str(2**20)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured['classes'] == 8142
    assert 10 < measured['megabytes'] < 200


class Unlabelled(BaseDataset):
    def load_data_list(self):
        return [dict(img_path='a.png')]


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(dataset=[1, 2]), TypeError, 'dataset must have get_data_info.* but got list'),
        (dict(dataset=Labelled([])), ValueError, 'dataset must have images, but Labelled is empty'),
        (dict(dataset=Unlabelled()), TypeError, r"gt_label for every image.*'img_path'"),
        (dict(dataset=Labelled([2, 2])), ValueError, r'at least 2 classes.* \[2\] alone'),
        (dict(dataset=Labelled([[0, 1], [1]])), ValueError, 'one label for each image'),
        (dict(power='a'), TypeError, "power must be a number in .* but got 'a'"),
        (dict(power=float('inf')), ValueError, r'power must be in \(-inf, inf\), but got inf'),
        (dict(seed=0.5), TypeError, 'seed must be an integer'),
        (dict(seed=-1), ValueError, 'seed must be an integer of at least 0'),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        MetaSampler(**{'dataset': Labelled(), **arguments})
