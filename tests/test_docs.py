"""The examples in the docstrings run and print what they say; the documents name what exists."""

import doctest
import importlib
import importlib.util
import pkgutil
import re

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmseg_recall
from mmseg_recall.ops import has_triton
from tests.test_tools.paths import ROOT

DOCUMENTS = [
    path
    for pattern in ('*.md', 'docs/*.md', 'docs/api/*.md', 'configs/*/*.md', 'projects/*/*.md')
    for path in sorted(ROOT.glob(pattern))
    if path.name != 'CHANGELOG.md'  # names what is gone
]
#: A document says so.
OF_MMSEGMENTATION = {'tools/dataset_converters/cityscapes.py'}


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


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_names_what_exists(path):
    """Files behind links, scripts, and targets of make; and its Python parses."""
    text = path.read_text(encoding='utf-8')
    links = re.findall(r'\]\(([^)#\s]+)', text)
    # Beside the repository's files on GitHub, and made when the site is built.
    elsewhere = ('https://', 'http://', '../../security/', 'generated/')
    links = [link for link in links if not link.startswith(elsewhere)]
    assert [link for link in links if not (path.parent / link).exists()] == []

    code = '\n'.join(re.findall(r'```.*?```|`[^`]+`', text, re.DOTALL))
    scripts = set(re.findall(r'\b(?:tools|examples|tests)/[\w/]+\.(?:py|sh)\b', code))
    assert {name for name in scripts if not (ROOT / name).exists()} <= OF_MMSEGMENTATION
    targets = re.findall(r'^`?make ([a-z][a-z-]*)', code, re.MULTILINE)
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    assert set(targets) <= set(re.findall(r'^([a-z-]+):', makefile, re.MULTILINE))

    for block in re.findall(r'```python\n(.*?)```', text, re.DOTALL):
        compile(block, str(path), 'exec')
