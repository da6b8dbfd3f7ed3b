"""The long tail: bars as high as the counts, from the most to the least frequent class."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_class_frequencies
from mmseg_recall.visualization.class_frequencies import MAX_NAMES


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_draws_the_counts_in_order(tmp_path, saved_figures, assert_not_blank):
    path = tmp_path / 'new' / 'tail.png'
    names = ['pole', 'moon', 'road', 'car']
    assert plot_class_frequencies(names, [40, 0, 9000, 40], 'pixels', path) == path
    assert_not_blank(path)
    (axes,) = saved_figures[0].axes
    assert [bar.get_height() for bar in axes.patches] == [9000, 40, 40]
    assert ticks(axes) == ['road', 'pole', 'car', 'moon']
    (unseen,) = (line for line in axes.lines if line.get_label() == 'never seen: 1')
    assert unseen.get_xdata().tolist() == [3]
    assert axes.get_yscale() == 'log'
    assert axes.get_title('left') == '4 classes: 9,000 to 40 pixels, imbalance factor 225'


def test_names_of_many_classes_do_not_overlap(tmp_path, saved_figures):
    names = [f'class number {c}' for c in range(365)]
    counts = np.geomspace(4980, 5, 365).astype(int).tolist()
    plot_class_frequencies(names, counts, 'samples', tmp_path / 'tail.png')
    (axes,) = saved_figures[0].axes
    assert len(axes.patches) == 365
    assert MAX_NAMES // 2 < len(ticks(axes)) <= MAX_NAMES
    assert axes.get_xlabel() == 'class (1 name in 10), by frequency'
    apart = np.diff([label.get_window_extent().x1 for label in axes.get_xticklabels()])
    height = axes.get_xticklabels()[0].get_fontsize() / 72 * saved_figures[0].dpi
    # Of lines at 45 degrees, the distance between two is that along the axis over sqrt(2).
    assert (apart / 2**0.5 > height).all()


def test_errors(tmp_path):
    path = tmp_path / 'tail.png'
    with pytest.raises(ValueError, match='one number for each of the 2 classes, got 1'):
        plot_class_frequencies(['road', 'pole'], [3], 'pixels', path)
    with pytest.raises(ValueError, match=r'must hold a class that occurs, got \[0, 0\]'):
        plot_class_frequencies(['road', 'pole'], [0, 0], 'pixels', path)
