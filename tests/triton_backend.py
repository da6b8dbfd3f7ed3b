"""The backend 'triton' for tests that hold their tensors on CPU."""

import pytest
import torch

from mmseg_recall.ops import BACKENDS, ClassTotals, has_triton
from mmseg_recall.ops.labels import split_labels

TRITON = BACKENDS['triton']


def use_triton(monkeypatch):
    """Compiled on a GPU where there is one, else interpreted; skip where there is no Triton."""
    if not has_triton():
        pytest.skip('Triton is not installed')
    if torch.cuda.is_available():
        monkeypatch.setitem(BACKENDS, 'triton', _on_gpu)
    else:
        # The interpreter's time goes with the number of tiles; test_triton.py has small ones.
        monkeypatch.setattr('mmseg_recall.ops.triton.WARP', 2**12)
        monkeypatch.setattr('mmseg_recall.ops.triton.CLASSES', 32)
        monkeypatch.setitem(BACKENDS, 'triton', _interpreted)


def _interpreted(logits, target, options):
    # The interpreter cuts gradients in bfloat16 off where a GPU rounds them: see test_triton.py.
    logits = logits.float() if logits.dtype is torch.bfloat16 else logits
    return TRITON(logits, target, options)


def _on_gpu(logits, target, options):
    # A wrong label would be a device-side assert, after which the process has no GPU.
    split_labels(target, logits.shape[1], options.ignore_index)
    options = options._replace(
        **{
            name: value.cuda()
            for name, value in options._asdict().items()
            if isinstance(value, torch.Tensor)
        }
    )
    totals = TRITON(logits.cuda(), target.cuda(), options)
    return ClassTotals(*(None if total is None else total.cpu() for total in totals))
