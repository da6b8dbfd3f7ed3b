"""``tools/train.py`` and ``tools/test.py`` with a segmentation config, from an empty folder."""

import re
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch

from tests.processes import free_port
from tests.test_tools.paths import TINY, TOOLS, TOY

pytest.importorskip('mmseg')

FILES_CONFIG = f"""
_base_ = '{TOY}'
load, label = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')
pack = dict(type='PackSegInputs')
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        metainfo=dict(classes=[str(c) for c in range(10)], palette=[[c, c, c] for c in range(10)]),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        test_mode=True,
        pipeline=[load, label, pack],
    )
)
tta_model = dict(type='SegTTAModel')
flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
tta_pipeline = [
    load,
    dict(type='TestTimeAug', transforms=[flips, [label], [pack]]),
]
"""


def checkpoint(path):
    return torch.load(path, map_location='cpu', weights_only=False)


def test_train_resume_and_test(run, tmp_path):
    train = [sys.executable, TOOLS / 'train.py', TOY, '--work-dir', 'work']

    run(*train, '--amp', '--no-validate', '--cfg-options', *TINY, 'train_cfg.max_iters=1')
    assert checkpoint(tmp_path / 'work/iter_1.pth')['meta']['iter'] == 1

    output = run(*train, '--resume', '--cfg-options', *TINY, 'train_cfg.max_iters=2')
    assert 'resumed epoch: 0, iter: 1' in output
    assert 'mIoU' in output
    optimizer = checkpoint(tmp_path / 'work/iter_2.pth')['optimizer']
    assert {float(state['step']) for state in optimizer['state'].values()} == {2.0}

    write_two_images(tmp_path)
    config = tmp_path / 'files.py'
    config.write_text(FILES_CONFIG)
    test = [sys.executable, TOOLS / 'test.py', config, 'work/iter_2.pth', '--tta']
    results = ['--work-dir', 'tested', '--out', 'predicted', '--show-dir', 'drawn']
    output = run(*test, *results, '--cfg-options', *TINY)
    assert 'mIoU' in output
    labels = cv2.imread(str(tmp_path / 'predicted/0.png'), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (32, 48)
    assert len(list((tmp_path / 'drawn').rglob('*.png'))) == 2


def write_two_images(folder):
    generator = np.random.default_rng(0)
    for name, shape in (('images', (32, 48, 3)), ('labels', (32, 48))):
        (folder / name).mkdir()
        for index in range(2):
            pixels = generator.integers(0, 10, shape, dtype=np.uint8)
            cv2.imwrite(str(folder / name / f'{index}.png'), pixels)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_damaged_label_map(tmp_path, monkeypatch, says, num_workers):
    """One sentence, from a data loader's process too."""
    write_two_images(tmp_path)
    (tmp_path / 'labels/1.png').write_bytes(b'no image')
    (tmp_path / 'files.py').write_text(
        FILES_CONFIG
        + f"""
train_dataloader = dict(
    num_workers={num_workers},
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        metainfo=dict(classes=[str(c) for c in range(10)]),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        pipeline=[load, label, pack],
    ),
)
"""
    )
    options = [option for option in TINY if 'train_dataloader.dataset' not in option]
    monkeypatch.chdir(tmp_path)
    argv = ['train.py', 'files.py', '--work-dir', 'work', '--cfg-options', *options]
    monkeypatch.setattr(sys, 'argv', [*argv, f'visualizer.name=damaged{num_workers}'])
    with says(r'^train.py: labels/1\.png cannot be read: expected a label map, but got'):
        runpy.run_path(str(TOOLS / 'train.py'), run_name='__main__')


AT_THE_END = """
import atexit, pathlib
threads = pathlib.Path('/proc/self/task').glob('*/comm')
atexit.register(lambda: print('gloo:', sum('gloo' in thread.read_text() for thread in threads)))
"""


def test_two_processes_on_cpu(run, tmp_path):
    """Gloo's threads end before the interpreters, which abort where one still runs."""
    (tmp_path / 'sitecustomize.py').write_text(AT_THE_END)
    options = ['--cfg-options', *TINY, 'train_cfg.max_iters=2']
    environment = dict(PORT=free_port(), PYTHONPATH=str(tmp_path))
    output = run('bash', TOOLS / 'dist_train.sh', TOY, 2, *options, **environment)
    assert 'mIoU' in output
    assert set(re.findall('gloo: (.*)', output)) == {'0'}
    assert (tmp_path / 'work_dirs' / TOY.stem / 'iter_2.pth').exists()
