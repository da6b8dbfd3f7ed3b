"""Bars per class: as high as the scores given."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_per_class

RESULTS = {
    'CE': {'IoU': {'road': 97.0, 'pole': 3.0}, 'Acc': {'road': 99.0, 'pole': 4.0}},
    'Recall': {'IoU': {'road': 96.0, 'pole': 30.0}, 'Acc': {'road': 98.0, 'pole': float('nan')}},
}


def test_draws_the_given_values(tmp_path, saved_figures, assert_not_blank):
    path = plot_per_class(RESULTS, tmp_path / 'new' / 'bars.png')
    assert path == tmp_path / 'new' / 'bars.png'
    assert_not_blank(path)
    panels = saved_figures[0].axes
    assert len(panels) == 2
    for axes, metric in zip(panels, ('IoU', 'Acc')):
        drawn = [[bar.get_height() for bar in container] for container in axes.containers]
        given = [list(scores[metric].values()) for scores in RESULTS.values()]
        np.testing.assert_array_equal(drawn, given)
        assert [text.get_text() for text in axes.get_xticklabels()] == ['road', 'pole']
    legend = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert legend == ['CE (mean 51.5)', 'Recall (mean 98.0)']


def test_names_of_many_classes_do_not_overlap(tmp_path, saved_figures):
    scores = {'recall': {f'class number {c}': 50.0 for c in range(365)}}
    plot_per_class({'CE': scores, 'Recall': scores}, tmp_path / 'bars.png')
    (axes,) = saved_figures[0].axes
    labels = axes.get_xticklabels()
    apart = np.diff([label.get_window_extent().x1 for label in labels])
    height = labels[0].get_fontsize() / 72 * saved_figures[0].dpi
    assert (apart / 2**0.5 > height).all()  # lines at 45 degrees
    assert axes.get_xlabel() == 'class (1 name in 10), by label'
    assert not axes.texts  # 730 numbers would cover each other


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='at least one run'):
        plot_per_class({}, tmp_path / 'bars.png')
    other = {**RESULTS, 'Focal': {'IoU': {'road': 1.0}}}
    with pytest.raises(ValueError, match="'CE' has .* and 'Focal' has"):
        plot_per_class(other, tmp_path / 'bars.png')
