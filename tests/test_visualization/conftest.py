"""Ways to look into a figure: what was saved, and the figure before it was."""

import cv2
import pytest

from mmseg_recall.visualization import style


@pytest.fixture
def saved_figures(monkeypatch):
    """The figures saved in a test, to look at what is drawn in them."""
    figures, save = [], style.save

    def spy(figure, path):
        figures.append(figure)
        return save(figure, path)

    for module in (
        'class_frequencies',
        'effective_number',
        'marginal_likelihood',
        'overlays',
        'per_class',
        'recall_weights',
        'sample_rates',
        'sweep',
        'training_loss',
    ):
        monkeypatch.setattr(f'mmseg_recall.visualization.{module}.save', spy)
    return figures


@pytest.fixture
def assert_not_blank():
    """Check that a file is an image with something on it."""

    def check(path):
        image = cv2.imread(str(path))
        assert image is not None, path
        assert min(image.shape[:2]) > 100
        assert image.std() > 5

    return check
