"""The wheel, in an environment that has torch and numpy and what these require, nothing else."""

import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CODE = """
import doctest, importlib, json, operator, pkgutil, sys
sys.path[:0] = [{site!r}, {wheel!r}]
import mmseg_recall
import torch
from mmseg_recall.losses import LOSSES, RecallLoss

logits = torch.randn(2, 4, 5, 5, requires_grad=True)
loss = RecallLoss()(logits, torch.randint(0, 4, (2, 9, 9)))
loss.backward()
found = dict(losses=len(LOSSES), value=loss.item(), gradient=logits.grad.abs().sum().item())
failed = tried = 0
for package in ('losses', 'functional', 'ops'):
    package = importlib.import_module(f'mmseg_recall.{{package}}')
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):
        if module.name.rpartition('.')[2] not in ('numba', 'triton'):
            result = doctest.testmod(importlib.import_module(module.name))
            failed, tried = failed + result.failed, tried + result.attempted
found['examples'] = failed, tried
found['errors'] = []
for package, name in {parts!r}:
    try:
        operator.attrgetter(f'{{package}}.{{name}}')(mmseg_recall)
    except ImportError as error:
        found['errors'].append(str(error))
print(json.dumps(found))
"""
PARTS = [
    ('datasets', 'PlacesLT'),
    ('datasets', 'SynthiaSeq'),
    ('datasets', 'count_classes'),
    ('datasets.samplers', 'ClassAwareSampler'),
    ('engine.hooks', 'ClassCountsHook'),
    ('evaluation', 'ImageTotals'),
    ('evaluation', 'compare'),
    ('models.heads', 'SDNHead'),
    ('visualization', 'plot_class_frequencies'),
]
NEEDS = [
    'places_lt needs MMP', 'synthia_seq needs MMS', 'class_counts needs rich',
    'class_aware_sampler needs MME', 'class_counts_hook needs MME',
    "comparison needs SciPy: pip install 'mmseg-recall[plots]'", 'sdn_head needs MMP',
    "class_frequencies needs matplotlib: pip install 'mmseg-recall[plots]'",
]  # fmt: skip


def required_by(name, found):
    """A distribution and all that it requires here."""
    if name not in found:
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # on other platforms
            return found
        for requirement in found[name].requires or ():
            if 'extra' not in requirement:
                required_by(re.match(r'[\w.-]+', requirement).group(0), found)
    return found


@pytest.fixture
def site(tmp_path):
    """Links to the installed files of torch and numpy, and of what they require."""
    folder = tmp_path / 'site'
    folder.mkdir()
    found = required_by('numpy', required_by('torch', {}))
    required_by('packaging', found)  # which torch.func of older PyTorch imports, undeclared
    for distribution in found.values():
        for top in {path.parts[0] for path in distribution.files if '..' not in path.parts}:
            link, target = folder / top, Path(distribution.locate_file(top))
            if target.exists() and not link.exists():
                link.symlink_to(target)
    return folder


def test_the_losses(wheel, site, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'wheel')
    code = CODE.format(site=str(site), wheel=str(tmp_path / 'wheel'), parts=PARTS)
    # Without the folders of the interpreter's own packages, and from nowhere in particular.
    done = subprocess.run(
        [sys.executable, '-I', '-S', '-c', code],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    *printed, last = done.stdout.splitlines()
    assert not printed, done.stdout  # such as an example that fails
    found = json.loads(last)
    assert found['losses'] == 10 and found['value'] > 0 and found['gradient'] > 0
    failed, tried = found['examples']
    assert failed == 0 and tried > 40
    for error, needed in zip(found['errors'], NEEDS, strict=True):
        assert needed in error and 'pip install' in error
