"""What MMDetection's box heads ask of their ``loss_cls``."""

import torch.nn.functional as F
from torch import Tensor

from .state import LossState


class BoxHeadMixin(LossState):
    """Background in MMDetection's box heads (``BBoxHead`` and what inherits from it).

    Their labels are the C classes of the data set and, for background, C. Such a head asks its loss
    in its constructor how many outputs the classifier has, and in inference for scores: so the loss
    knows where it is, and ``loss_cls=dict(type='BalancedSoftmaxLoss', class_counts='auto')`` is
    all a config says. With the softmax there are C + 1 outputs, the last for background; with C
    one-vs-all problems (``base='sigmoid'``) there are C, and background is none of them.

    What a loss has for each class (counts, shifts, margins, weights) is for the C classes, and
    background stays as it is: no shift, no margin, a weight of 1. A box head is tested on images
    with as much background as those it was trained on; what a long tail changes is how often each
    class comes among the objects.
    """

    #: Asks ``BBoxHead`` to call :meth:`get_cls_channels` and :meth:`get_activation` ...
    custom_cls_channels = True
    #: ... and :meth:`get_accuracy`.
    custom_activation = True
    #: Whether the label behind the last class is background: a box head's constructor sets it.
    background = False

    @property
    def one_vs_all(self) -> bool:
        """Whether each class has a sigmoid of its own."""
        return False

    def get_cls_channels(self, num_classes: int) -> int:
        """The number of outputs of the classifier for C classes and background."""
        self.background = True
        return num_classes if self.one_vs_all else num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Probabilities of the classes and background, ``(N, C + 1)``; nobody reads the last."""
        scores = self.probabilities(cls_score)
        if self.one_vs_all:
            return F.pad(scores, (0, 1))
        # Heads that never asked for outputs (of one-stage detectors) want those of the classes.
        return scores if self.background else scores[..., :-1]

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probabilities that logits mean in inference."""
        return logits.sigmoid() if self.one_vs_all else logits.softmax(-1)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The percentage of boxes whose label is the likeliest; background, if no class is."""
        # A logit of 0 is a probability of 1/2.
        logits = F.pad(cls_score, (0, 1)) if self.one_vs_all else cls_score
        return dict(acc=100 * (logits.argmax(1) == labels).float().mean())

    def with_background(self, values: Tensor, neutral: float) -> Tensor:
        """``(C,)`` values of the classes, and that of background where there is one."""
        return F.pad(values, (0, int(self.background)), value=neutral)
