"""p(y) over the classes: which of them a model prefers (Fig. 1-2 of the BALMS paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .style import (
    MAX_NAMES,
    TEXT_SIZE,
    TITLE_SIZE,
    legend_beside,
    name_classes,
    plain_frame,
    run_colour,
    save,
)


def plot_marginal_likelihood(
    likelihoods: Mapping[str, Sequence[float]],
    classes: Sequence[str],
    path: str | Path,
    class_counts: Sequence[float] | None = None,
) -> Path:
    r"""Draw :math:`p(y)`, the mean predicted score of each class over a test set, for several runs.

    On a test set with as many images of each class a model without preferences is near 1/C, the
    dashed line; one that leans to frequent classes falls from left to right.

    Args:
        likelihoods (Mapping[str, Sequence[float]]): C numbers of sum 1 for each run.
        classes (Sequence[str]): C class names, by label.
        path (str or Path): File to write; its ending chooses the format.
        class_counts (Sequence[float], optional): C training counts: the classes are drawn from the
            most to the least frequent. Without counts they are drawn in the order of the labels.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no run, or not a number for each class.

    Reference:
        Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, 2020, Fig. 1-2.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'likelihood.png'
        >>> plot_marginal_likelihood({'CE': [0.7, 0.3]}, ['robin', 'ibis'], file).name
        'likelihood.png'
    """
    if not likelihoods:
        raise ValueError('likelihoods must hold at least one run, got none')
    sizes = {run: len(values) for run, values in likelihoods.items()}
    sizes |= {} if class_counts is None else {'class_counts': len(class_counts)}
    for name, size in sizes.items():
        if size != len(classes):
            raise ValueError(
                f'{name} must hold one number for each of the {len(classes)} classes, got {size}'
            )
    order = np.arange(len(classes))
    if class_counts is not None:
        order = np.argsort(-np.asarray(class_counts, float), kind='stable')
    width = min(12.0, max(6.0, 0.3 * len(classes)))
    figure = Figure(figsize=(width, 4.4), layout='constrained')
    axes = figure.subplots()
    marker = 'o' if len(classes) <= MAX_NAMES else None
    for number, (run, values) in enumerate(likelihoods.items()):
        sorted_values = np.asarray(values, float)[order]
        axes.plot(sorted_values, color=run_colour(number), marker=marker, linewidth=1.8, label=run)
    axes.axhline(
        1 / len(classes), color='black', linewidth=1, linestyle='--', label='equal: 1 / classes'
    )
    by = 'by label' if class_counts is None else 'by training frequency'
    name_classes(axes, [classes[label] for label in order.tolist()], by)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel('p(y)', fontsize=TEXT_SIZE)
    axes.set_title('Mean predicted score of each class', fontsize=TITLE_SIZE, loc='left')
    legend_beside(axes, axes.lines)
    plain_frame(axes)
    return save(figure, path)
