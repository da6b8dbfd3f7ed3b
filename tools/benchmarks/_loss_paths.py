"""The paths from a decode head's logits to their gradient, and the least work of any.

See ``loss_path.py``.
"""

import _compiled_strips
import _measure
import torch
import torch.nn.functional as F
from _settings import SHAPES
from mmseg.models.losses import CrossEntropyLoss, accuracy

from mmseg_recall.losses import LOSSES, ClassCountsLoss
from mmseg_recall.ops import automatic

OURS = {loss.__name__: loss for loss in LOSSES}
COMPILED = ('compiled_stock', 'compiled_strips')
PATHS = ('stock', 'plain_recall', *COMPILED, *OURS)


def make_batch(shape, device):
    batch, classes, low, full = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *low, generator=generator)
    target = torch.randint(0, classes, (batch, *full), generator=generator)
    if full:
        target[:, : full[0] // 20] = 255
    return logits.to(device).requires_grad_(), target.to(device)


def plain_recall_loss(logits, target, ignore_index):
    """Recall loss with nothing but F.cross_entropy, as it is found in repositories."""
    valid = target != ignore_index
    classes = logits.shape[1]
    support = torch.bincount(target[valid], minlength=classes)
    hit = valid & (logits.argmax(1) == target)
    recall = torch.bincount(target[hit], minlength=classes) / support.clamp_min(1)
    losses = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction='none')
    return ((1 - recall)[torch.where(valid, target, 0)] * losses).sum() / valid.sum()


def make_path(name, logits, target, backend='auto'):
    """The gradient of the logits by a path, as a function without arguments."""
    forward = make_forward(name, logits.shape[1], backend)

    def path():
        # What the forward pass saves for no one, such as upsampled logits, is free by now.
        loss, _ = forward(logits, target)
        return torch.autograd.grad(loss, logits)

    return path


def make_forward(name, num_classes, backend):
    """Logits and labels to loss and accuracy; our losses have the accuracy in their totals."""
    if name in OURS:
        loss = make_loss(OURS[name], num_classes, backend)
        return lambda logits, target: (loss(logits, target, ignore_index=255), None)
    if name == 'compiled_stock':
        return torch.compile(loss_and_hits)
    if name == 'compiled_strips':
        return lambda logits, target: (_compiled_strips.recall_loss(logits, target), None)
    cross_entropy = CrossEntropyLoss(avg_non_ignore=True) if name == 'stock' else plain_recall_loss
    return lambda logits, target: loss_and_accuracy(cross_entropy, logits, target)


def resize(logits, target):
    if target.ndim == 1:
        return logits
    return F.interpolate(logits, target.shape[1:], mode='bilinear', align_corners=False)


def loss_and_accuracy(loss, logits, target):
    """As MMSegmentation's heads compute them (MMPretrain's compute no accuracy)."""
    full = resize(logits, target)
    hits = accuracy(full, target, ignore_index=255) if target.ndim > 1 else None
    return loss(full, target, ignore_index=255), hits


def loss_and_hits(logits, target):
    """The stock path without the host synchronisations that a compiler cannot pass."""
    full = resize(logits, target)
    hits = (full.argmax(1) == target).sum() if target.ndim > 1 else None
    return F.cross_entropy(full, target, ignore_index=255), hits


def make_loss(loss, num_classes, backend):
    if not issubclass(loss, ClassCountsLoss):
        return loss(backend=backend)
    counts = [10**9 // (c + 1) ** 2 + 1 for c in range(num_classes)]
    return loss(class_counts=counts, backend=backend)


def least_work(shape):
    """Exponentials and bytes of both passes: one for each logit, and each number moved once."""
    batch, classes, low, full = SHAPES[shape]
    positions = batch * torch.Size(full).numel()
    logits = batch * classes * torch.Size(low).numel()
    return dict(exponentials=2 * positions * classes, bytes=4 * 3 * logits + 8 * 2 * positions)


def exponentials(total, device):
    """So many of them, on a CPU in pieces that stay in the cache."""
    piece = torch.randn(2**17 if device == 'cpu' else total // 2, device=device)
    out = torch.empty_like(piece)

    def run():
        for _ in range(total // piece.numel()):
            torch.exp(piece, out=out)

    return run


def moves(total, device):
    """So many bytes read or written, half of them each."""
    source = torch.zeros(total // 2, dtype=torch.uint8, device=device)
    out = torch.empty_like(source)
    return lambda: out.copy_(source)


def limits(shape, device):
    """The least work as functions: what no path that computes with single exponentials beats."""
    work = least_work(shape)
    return {
        'limit (exponentials)': exponentials(work['exponentials'], device),
        'limit (bytes)': moves(work['bytes'], device),
    }


def paths_of(shape):
    _, _, low, full = SHAPES[shape]
    return [name for name in PATHS if low != full or name != 'compiled_strips']


def backend_of(backend, device):
    """The backend that computes our losses: ``'auto'`` is one of them."""
    return automatic(torch.device(device)) if backend == 'auto' else backend


def print_memory(shape, name, backend, device):
    logits, target = make_batch(shape, device)
    # A corner of one picture: what a backend keeps from call to call is to count.
    corner, labels = logits.detach()[:1], target[:1]
    if target.ndim > 1:
        corner, labels = corner[:, :, :8, :8], labels[:, :64, :64] % logits.shape[1]
    small = make_path(name, corner.clone().requires_grad_(), labels, backend)
    run = make_path(name, logits, target, backend)
    # A compiler's own memory is not the loss's: it compiles this very shape before.
    _measure.print_peak(run if name in COMPILED else small, run, device)


def compiles(device):
    """Whether torch.compile works here (on a CPU it needs a C++ compiler)."""
    try:
        make_path('compiled_stock', *make_batch('synthia', device))()
    except Exception as error:
        print(f'{COMPILED} are left out, torch.compile fails here: {type(error).__name__}')
        return False
    return True
