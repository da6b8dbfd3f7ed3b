"""The ResNets of the long-tail papers that MMPretrain lacks: ResNet-10 and those for CIFAR."""

from mmpretrain.models.backbones import ResNet, ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """ResNet with one basic block in each of the four stages, for ImageNet-LT.

    Args:
        **kwargs: Those of ``mmpretrain.models.ResNet``, except ``depth``.

    Reference:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World, 2019, Sec. 4.

    Examples:
        >>> import torch
        >>> ResNet10()(torch.zeros(1, 3, 64, 64))[0].shape
        torch.Size([1, 512, 2, 2])
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, **kwargs):
        super().__init__(depth=10, **kwargs)


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """The ResNet for images of 32 x 32: three stages of 16, 32 and 64 channels.

    ResNet-32 has five basic blocks in each stage and 0.47 million parameters, the 18 to 152 layers
    of ``ResNet_CIFAR`` 11 million and more. Where the size of the features changes, the shortcut
    is a 1 x 1 convolution, as everywhere in MMPretrain.

    Args:
        depth: 6 n + 2 for n blocks in each stage: 20, 32, 44, 56 or 110.
        **kwargs: Those of ``mmpretrain.models.ResNet_CIFAR``.

    Raises:
        KeyError: If ``depth`` is another number.

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2016, Sec. 4.2.

    Examples:
        >>> import torch
        >>> CIFARResNet(depth=32)(torch.zeros(1, 3, 32, 32))[0].shape
        torch.Size([1, 64, 8, 8])
    """

    arch_settings = {6 * n + 2: (BasicBlock, (n, n, n)) for n in (3, 5, 7, 9, 18)}

    def __init__(self, depth, **kwargs):
        size = dict(
            stem_channels=16, base_channels=16, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1)
        )
        super().__init__(depth, **{**size, 'out_indices': (2,), **kwargs})
