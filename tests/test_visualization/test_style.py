"""What all figures share: names are shown as they are, and files are written whole."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmseg_recall.visualization import (
    plot_focal_weights,
    plot_marginal_likelihood,
    plot_overlays,
    plot_per_class,
    plot_recall_weights,
)
from mmseg_recall.visualization.style import save

NAMES = ['_background_', 'road [sitting]']
WEIGHTS = {name: {10: 0.5, 20: 0.5} for name in NAMES}
SCORES = {name: {'IoU': {'road': 50.0}} for name in NAMES}
LIKELIHOODS = {name: [0.5, 0.5] for name in NAMES}


def overlays(path):
    labels = np.zeros((8, 8), int)
    image = np.zeros((8, 8, 3), np.uint8)
    plot_overlays([image], {'truth': [labels]}, NAMES, [[0, 0, 0], [9, 9, 9]], path)


FIGURES = {
    'recall_weights': lambda path: plot_recall_weights(WEIGHTS, None, path),
    'focal_weights': lambda path: plot_focal_weights(WEIGHTS, WEIGHTS, None, path),
    'per_class': lambda path: plot_per_class(SCORES, path),
    'marginal_likelihood': lambda path: plot_marginal_likelihood(LIKELIHOODS, NAMES, path),
    'overlays': overlays,
}


@pytest.mark.parametrize('plot', FIGURES.values(), ids=FIGURES)
def test_legends_have_names_that_begin_with_an_underscore(plot, tmp_path, saved_figures):
    plot(tmp_path / 'figure.png')
    (figure,) = saved_figures
    legend = (figure.legends or [figure.axes[0].get_legend()])[0]
    shown = [text.get_text().split(' (')[0] for text in legend.get_texts()]
    assert set(NAMES) <= set(shown)
    for text, handle in zip(legend.get_texts(), legend.legend_handles):
        assert text.get_visible() and handle is not None


def test_a_figure_that_cannot_be_drawn_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'figure.png'
    path.write_bytes(b'before')
    figure = Figure()
    figure.text(0, 0, '$wrong{$')  # an error of Matplotlib's formulas, while it draws
    with pytest.raises(ValueError, match='wrong'):
        save(figure, path)
    assert path.read_bytes() == b'before'
    assert list(tmp_path.iterdir()) == [path]
