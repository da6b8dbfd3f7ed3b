"""``ClassAwareSampler``: every class is shown as often as every other."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ...functional import checks
from ..class_counts import listed_labels


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(Sampler):
    r"""Draws a class, all with the same probability, then an image of that class.

    An image of a class with :math:`n_c` images comes with probability :math:`1 / (C n_c)`, C being
    the classes that have images. Classes are drawn without replacement until all have been, and so
    are the images of a class: in an epoch the draws of any two classes differ by at most one, and
    so do those of any two images of a class. An epoch has as many draws as the dataset has images,
    so it repeats rare images and leaves out some of the frequent classes; with another epoch come
    others. An image of several labels is in each of its classes.

    Args:
        dataset (Dataset): One of MMEngine's kind, or a wrapper with its ``get_data_info``, whose
            entries have a ``gt_label``, or the ``instances`` of MMDetection's datasets.
        seed (int, optional): The seed of the draws, the same in all processes; by default a random
            one that they share. Epoch e is drawn by ``seed`` + e.
        round_up (bool): Whether every process gets the same number of draws, see
            ``mmengine.dataset.DefaultSampler``.

    Raises:
        TypeError: If the dataset doesn't say its labels, or ``seed`` is not an integer.
        ValueError: If the dataset is empty, or ``seed`` negative.

    Reference:
        Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, 2020,
        Sec. 3 (class-balanced sampling).

    Examples:
        >>> from mmengine.dataset import BaseDataset
        >>> class Birds(BaseDataset):
        ...     def load_data_list(self):
        ...         return [dict(gt_label=label) for label in (0, 0, 0, 0, 0, 1)]
        >>> sorted(ClassAwareSampler(Birds(), seed=0))[-3:]  # the only image of class 1
        [5, 5, 5]
    """

    def __init__(self, dataset: Dataset, seed: int | None = None, round_up: bool = True) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else checks.integer('seed', seed, low=0)
        self.epoch = 0
        self.round_up = checks.choice('round_up', round_up, (True, False))
        #: The images of each class that has any.
        self.images = list(images_of_classes(dataset).values())
        if self.round_up:
            self.num_samples = math.ceil(len(dataset) / self.world_size)
            self.total_size = self.num_samples * self.world_size
        else:
            self.num_samples = math.ceil((len(dataset) - self.rank) / self.world_size)
            self.total_size = len(dataset)

    def __iter__(self) -> Iterator[int]:
        """This process's share of the epoch's draws."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        classes = _shuffled_again_and_again(len(self.images), self.total_size, generator)
        draws = torch.empty(self.total_size, dtype=torch.int64)
        # The places of each class in the epoch, class after class.
        places = classes.argsort(stable=True).split(
            classes.bincount(minlength=len(self.images)).tolist()
        )
        for images, where in zip(self.images, places):
            draws[where] = images[_shuffled_again_and_again(len(images), len(where), generator)]
        return iter(draws[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        """The number of draws of this process."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the training loop does, also when it resumes."""
        self.epoch = epoch


def _shuffled_again_and_again(size: int, length: int, generator: torch.Generator) -> Tensor:
    """The first ``length`` numbers of permutations of 0 ... size - 1, one after the other."""
    times = math.ceil(length / size)
    rounds = [torch.randperm(size, generator=generator) for _ in range(times)]
    return torch.cat(rounds)[:length] if rounds else torch.empty(0, dtype=torch.int64)


def images_of_classes(dataset) -> dict[int, Tensor]:
    """The images of each class that has any, by the class's label, in rising order."""
    if not hasattr(dataset, 'get_data_info'):
        raise TypeError(
            'dataset must have get_data_info, as the datasets and wrappers of MMEngine do, but got '
            f'{type(dataset).__name__}'
        )
    if not len(dataset):
        raise ValueError(f'dataset must have images, but {type(dataset).__name__} is empty')
    labels, images = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        listed = listed_labels(info)
        if listed is None:
            raise TypeError(
                'dataset must give a gt_label for every image (or instances, as in MMDetection), '
                f'but that of {index} in {type(dataset).__name__} has {sorted(info)}'
            )
        of_image = np.unique(listed).tolist()
        labels += of_image
        images += [index] * len(of_image)
    labels, images = torch.tensor(labels), torch.tensor(images)
    classes, counts = labels.unique(return_counts=True)
    of_classes = images[labels.argsort(stable=True)].split(counts.tolist())
    return dict(zip(classes.tolist(), of_classes))
