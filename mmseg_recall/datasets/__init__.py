"""Long-tailed data sets, and how often each class occurs in one."""

from ..rooms import exports
from . import samplers as samplers

#: Each module, the library it needs, and what it exports.
MODULES = {
    'class_counts': (None, ('ClassCounts', 'cached_class_counts', 'count_classes')),
    'long_tail': (None, ('long_tail_counts', 'long_tail_subset')),
    'cifar_lt': ('mmpretrain', ('CIFAR10LT', 'CIFAR100LT')),
    'digits_lt': ('mmpretrain', ('DigitsLT',)),
    'image_list': ('mmpretrain', ('ImageList',)),
    'imagenet_lt': ('mmpretrain', ('ImageNetLT',)),
    'inaturalist': ('mmpretrain', ('INaturalist',)),
    'inaturalist2017': ('mmpretrain', ('INaturalist2017',)),
    'inaturalist2018': ('mmpretrain', ('INaturalist2018',)),
    'places_lt': ('mmpretrain', ('PlacesLT',)),
    'synthia_seq': ('mmseg', ('SynthiaSeq',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
