"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmseg_recall
from mmseg_recall.ops import has_triton


def modules():
    names = []
    for module in pkgutil.walk_packages(mmseg_recall.__path__, 'mmseg_recall.'):
        if module.name == 'mmseg_recall.ops.triton' and not has_triton():
            continue
        parent, _, name = module.name.rpartition('.')
        modules = getattr(importlib.import_module(parent), 'MODULES', {})
        library, _ = modules.get(name, (None, ()))
        if library is None or importlib.util.find_spec(library):
            names.append(module.name)
    return names


@pytest.mark.parametrize('name', modules())
def test_examples(name):
    DefaultScope._instance_dict.clear()  # as in a new process, whatever ran before
    # MMEngine would make a logger that writes to where examples print.
    MMLogger.get_instance('examples', log_level='ERROR')
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
