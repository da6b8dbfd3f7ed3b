"""A linear layer of which only one factor for each output trains."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ScaledLinear(nn.Linear):
    r"""Learnable weight scaling (LWS) of a classifier: its directions stay, its sizes are learned.

    .. math::
        z_c = f_c \, (w_c^\top x + b_c)

    with :math:`w, b` those of a pre-trained classifier, which do not train, and :math:`f_c`, 1 in
    the beginning. Of MMDetection's box heads it is the classifier with
    ``cls_predictor_cfg=dict(type='ScaledLinear')``: checkpoints of the same model with a linear one
    load (``load_from``) as they are. Freeze everything before it with ``FreezeHook``. (Of
    MMPretrain's heads :class:`.LearnableWeightScalingHead` has the same.)

    Args:
        in_features: Channels of the features.
        out_features: Outputs: classes and, where the head has an output for it, background.
        bias: Whether there is a bias.

    Reference:
        Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, 2020,
        "Learnable weight scaling (LWS)". The paper has no bias; here it is scaled with the weights.

    Examples:
        >>> import torch
        >>> layer = ScaledLinear(2, 2)
        >>> [name for name, part in layer.named_parameters() if part.requires_grad]
        ['scale']
        >>> plain = dict(weight=torch.eye(2), bias=torch.tensor([0., 1.]))
        >>> _ = layer.load_state_dict(plain)
        >>> layer.scale.data = torch.tensor([1., 3.])
        >>> layer(torch.tensor([[4., 5.]])).tolist()
        [[4.0, 18.0]]
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(out_features))

    def forward(self, input: Tensor) -> Tensor:
        """Scaled outputs."""
        return self.scale * super().forward(input)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # The factors of a plain linear layer are 1.
        if f'{prefix}weight' in state_dict:
            state_dict.setdefault(f'{prefix}scale', torch.ones_like(self.scale))
        super()._load_from_state_dict(state_dict, prefix, *args)
