"""Build and install mmseg-recall; settings of the development tools are in pyproject.toml."""

import re
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
REPOSITORY = 'https://github.com/OWNER/mmseg-recall'
# The demo's data: a project of its own, that its configs name in `custom_imports`.
TOY_STREETS = 'mmseg_recall_toy_streets'
MIM_FILES = ('configs', 'tools', 'model-index.yml')
# Where a wheel carries them. OpenMMLab's mim looks in the package; OneDL's in the folder that
# comes first in the sorted list of installed files, which would be that of the command, `../bin`.
MIM_FOLDERS = ('mmseg_recall/.mim', '+mmseg_recall/.mim')


class BuildWithMim(build_py):
    """Puts a copy of configs, tools and model-index.yml where ``mim`` looks for them.

    An editable install needs none: there ``mim`` looks in the checkout itself, and a second way
    to the same config inside it, even a link, makes ``mim train mmseg-recall CONFIG.py`` ambiguous.
    """

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for folder in MIM_FOLDERS:
            for name in MIM_FILES:
                _copy(ROOT / name, Path(self.build_lib, folder, name))


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
    else:
        shutil.copy(source, target)


def _version():
    text = (ROOT / 'mmseg_recall' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


# Neither set of mm* packages is in `install_requires`: they share their import names, so that
# installing one over the other would overwrite its files. The extras choose.
# Figures, and the intervals of the comparison.
PLOTS = ['jinja2', 'matplotlib', 'scipy>=1.11']
# Compiles the losses for the CPU; a GPU needs Triton, which PyTorch for CUDA brings.
FAST = ['numba>=0.60']
# What the parts around the losses import: progress and tables, images, the images of DigitsLT.
PARTS = [*FAST, *PLOTS, 'opencv-python', 'pillow', 'rich', 'scikit-learn']
EXTRAS = {
    'fast': FAST,
    'plots': PLOTS,
    'onedl': [
        'onedl-mmcv>=2.3.6',
        'onedl-mmengine>=0.10.12',
        'onedl-mmsegmentation>=1.4.2',
        'onedl-mmpretrain>=1.3.6',
        # It pins a pandas that has no wheel for later Pythons.
        'onedl-mim>=0.5.1; python_version < "3.14"',
        'torchvision',
        *PARTS,
    ],
    'openmmlab': [
        *(ROOT / 'requirements' / 'mminstall.txt').read_text(encoding='utf-8').splitlines(),
        # mmsegmentation imports these without requiring them, and mmcv is built for numpy 1.
        'ftfy',
        'regex',
        'numpy<2',
        'torchvision',
        *PARTS,
    ],
    # MMDetection, with `openmmlab`: it needs mmcv's compiled operators, which OneDL's mmcv does not
    # build against the torch it is used with.
    'detection': ['lvis', 'mmdet>=3.3.0,<3.4'],
    # The page's tests drive the system's Chromium, or the one of `playwright install chromium`.
    'browser': ['axe-playwright-python', 'playwright'],
    # tensorboard: its backend is tested.
    'dev': ['mypy', 'pytest', 'pytest-xdist', 'ruff', 'tensorboard'],
}

# Built in a folder of its own: an interrupted build leaves nothing behind, and a file deleted
# since the last build cannot slip into the wheel.
with tempfile.TemporaryDirectory() as build_folder:
    setup(
        name='mmseg-recall',
        version=_version(),
        description='RecallLoss and relatives for MMSegmentation and MMPretrain',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        url=REPOSITORY,
        license='Apache-2.0',
        keywords='semantic segmentation, long-tailed classification, class imbalance, loss',
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Operating System :: OS Independent',
            'Programming Language :: Python :: 3',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
        ],
        packages=[*find_packages(include=['mmseg_recall', 'mmseg_recall.*']), TOY_STREETS],
        package_dir={TOY_STREETS: 'projects/toy_streets'},
        py_modules=['mmseg_recall_cli'],
        entry_points={'console_scripts': ['mmseg-recall = mmseg_recall_cli:main']},
        package_data={
            'mmseg_recall': ['py.typed'],
            'mmseg_recall.visualization': ['templates/*'],
        },
        python_requires='>=3.10',
        install_requires=['numpy>=1.26', 'torch>=2.1'],
        extras_require=EXTRAS,
        cmdclass={'build_py': BuildWithMim},
        options={'build': {'build_base': build_folder}},
    )
