"""Learnable weight scaling: a fixed classifier and one learned factor for each class."""

import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from .arguments import INIT_CFG, build_loss, head_sizes, refuse_unknown, top_k


@MODELS.register_module()
class LearnableWeightScalingHead(LinearClsHead):
    r"""Learn how large each class's weight vector is (LWS); its direction stays.

    .. math::
        z_c = f_c \, (w_c^\top x + b_c)

    with :math:`w, b` those of a pre-trained model, which do not train, and :math:`f_c`, 1 in the
    beginning, the only parameters that do. ``fc`` is named as in MMPretrain's ``LinearClsHead``,
    whose checkpoints load (``load_from``) as they are. Freeze the backbone with ``FreezeHook``, and
    sample the classes uniformly, as in the paper.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels of the features.
        loss (dict | nn.Module): What the factors are trained with.
        topk (int | tuple[int]): The k of the top-k accuracies.
        cal_acc (bool): Log the accuracy in training.
        init_cfg (dict): Initialization of ``fc``, where no checkpoint is loaded.

    Raises:
        TypeError: For an argument of the wrong type or an unknown one.
        ValueError: If a size is smaller than 1.

    Reference:
        Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, 2020,
        "Learnable weight scaling (LWS)". The paper has no bias; here it is scaled with the weights.

    Examples:
        >>> import torch
        >>> head = LearnableWeightScalingHead(2, 2, loss=dict(type='CrossEntropyLoss'))
        >>> [name for name, part in head.named_parameters() if part.requires_grad]
        ['scale']
        >>> plain = {'fc.weight': torch.eye(2), 'fc.bias': torch.tensor([0., 1.])}
        >>> _ = head.load_state_dict(plain, strict=False)
        >>> head.scale.data = torch.tensor([1., 3.])
        >>> head((torch.tensor([[4., 5.]]),)).tolist()
        [[4.0, 18.0]]
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | nn.Module,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | None = INIT_CFG,
        **unknown,
    ):
        refuse_unknown(self, unknown, 'loss, topk, cal_acc, init_cfg')
        head_sizes(num_classes, in_channels)
        super().__init__(
            num_classes,
            in_channels,
            init_cfg=init_cfg,
            loss=build_loss('loss', loss),
            topk=top_k(topk),
            cal_acc=cal_acc,
        )
        self.fc.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Scaled logits."""
        return self.scale * super().forward(feats)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # The factors of a plain linear head are 1.
        if f'{prefix}fc.weight' in state_dict:
            state_dict.setdefault(f'{prefix}scale', torch.ones_like(self.scale))
        super()._load_from_state_dict(state_dict, prefix, *args)
