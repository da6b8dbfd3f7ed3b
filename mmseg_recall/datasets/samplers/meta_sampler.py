"""``MetaSampler``: classes are drawn with rates that are learned in training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ...functional import checks
from .class_aware_sampler import images_of_classes


@DATA_SAMPLERS.register_module()
class MetaSampler(Sampler):
    r"""Draws a class with a learned rate, then any image of that class.

    .. math::
        c \sim \pi = \mathrm{softmax}(\psi), \qquad p(\text{image } i) = \pi_{c(i)} / n_{c(i)}

    over the classes that have images. In the beginning an image comes with a probability
    proportional to :math:`n_{c(i)}^{power}`, as in the authors' released code, so a class with
    :math:`\pi_c \propto n_c^{1 + power}`: -1 draws the classes equally, 0 leaves them as they are.
    From then on :class:`.MetaSamplerHook`, without which the rates stay, sets them.

    The released code has a sigmoid for each class, :math:`\pi_c \propto n_c\,
    \mathrm{sigmoid}(\psi_c)`: other steps, to the same rates. The hook says what else differs.

    Draws are made one by one when they are asked for, from the rates of that moment: those that
    the workers of a data loader fetch in advance have the rates of some iterations before. A draw
    takes the same random numbers whatever the rates, so that a resumed training goes on with the
    numbers it would have had. An epoch has as many draws as the dataset has images.

    Args:
        dataset (Dataset): One of MMEngine's kind, or a wrapper with its ``get_data_info``, whose
            entries have a ``gt_label``, one label each.
        power (float): The exponent of the class counts in the first rates.
        seed (int, optional): The seed of the draws, the same in all processes; by default a random
            one that they share. Epoch e is drawn by ``seed`` + e.

    Raises:
        TypeError: If the dataset doesn't say its labels, ``power`` is not a number or ``seed`` not
            an integer.
        ValueError: If the dataset is empty, of a single class or has images of several labels,
            ``power`` is not finite, or ``seed`` negative.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Sec. 3.2.

    Examples:
        >>> from mmengine.dataset import BaseDataset
        >>> class Birds(BaseDataset):
        ...     def load_data_list(self):
        ...         return [dict(gt_label=label) for label in (0, 0, 0, 0, 0, 0, 0, 0, 4)]
        >>> sampler = MetaSampler(Birds(), power=-0.5, seed=0)
        >>> sampler.classes, sampler.log_rates.exp()  # sqrt(8) to 1
        (tensor([0, 4]), tensor([0.7388, 0.2612], dtype=torch.float64))
    """

    def __init__(self, dataset: Dataset, power: float = -0.3, seed: int | None = None) -> None:
        self.power = checks.number('power', power, low_open=True, high_open=True)
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else checks.integer('seed', seed, low=0)
        self.epoch = 0
        images = images_of_classes(dataset)
        if len(images) < 2:
            raise ValueError(
                f'dataset must have images of at least 2 classes, but {type(dataset).__name__} has '
                f'those of {list(images)} alone'
            )
        if sum(map(len, images.values())) > len(dataset):
            raise ValueError(
                f'dataset must have one label for each image, but {type(dataset).__name__} has '
                'images of several labels'
            )
        #: The labels that have images, in rising order; rates are of these.
        self.classes = torch.tensor(list(images))
        self.images = list(images.values())
        self.num_samples = math.ceil(len(dataset) / self.world_size)
        counts = torch.tensor([len(of_class) for of_class in self.images], dtype=torch.float64)
        self.set_log_rates((1 + self.power) * counts.log())

    def set_log_rates(self, log_rates: Tensor) -> None:
        r"""Draw by :math:`\mathrm{softmax}(\psi)` from now on; ``log_rates`` is :math:`\psi`."""
        #: Normalised, float64.
        self.log_rates = log_rates.detach().cpu().double().log_softmax(0)
        self._ends = self.log_rates.exp().cumsum(0).numpy()

    def __iter__(self) -> Iterator[int]:
        """This process's share of the epoch's draws."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        shape = (self.num_samples * self.world_size, 2)
        numbers = torch.rand(shape, dtype=torch.float64, generator=generator)
        for of_class, of_image in numbers[self.rank :: self.world_size].numpy():
            # The last end, 1 up to rounding, is left out: the last class has all behind it.
            images = self.images[self._ends[:-1].searchsorted(of_class, side='right')]
            yield int(images[int(of_image * len(images))])

    def __len__(self) -> int:
        """The number of draws of this process."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the training loop does, also when it resumes."""
        self.epoch = epoch
