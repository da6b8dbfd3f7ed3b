"""The folder of a training -> its model's totals on each validation image, cached there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from rich.markup import escape
from rich.progress import track

from ..datasets.class_counts import IGNORED, ClassCounts, cached_class_counts
from ..engine.launch import load_config
from ..engine.runner import AnyDeviceRunner
from ..files import InputError, MissingInputError, read_or_rebuild, reading, written_whole
from ..functional import checks, read_class_counts, shot_groups
from .comparison import ImageTotals, distinct_names, scores

EXAMPLES = 4
"""How many predictions are saved to be drawn: the first ones, not the best ones."""

EXAMPLE_SIZE = 512
"""Pixels of their longer side, at most."""

THRESHOLDS = (20, 100)
"""Where few-shot ends and many-shot begins, unless ``LongTailAccuracy`` says otherwise."""


@dataclass(frozen=True)
class ExampleImages:
    """Some validation images of a segmentation run.

    Attributes:
        images (list[numpy.ndarray]): ``(H, W, 3)`` uint8, RGB.
        truth (list[numpy.ndarray]): ``(H, W)`` label maps.
        predicted (list[numpy.ndarray]): ``(H, W)`` label maps.
        palette (list[list[int]]): The RGB colour of each class.
    """

    images: list[np.ndarray]
    truth: list[np.ndarray]
    predicted: list[np.ndarray]
    palette: list[list[int]]


@dataclass(frozen=True)
class RunResults:
    """The results of a training on its validation images.

    Attributes:
        folder (Path): The folder of the training.
        checkpoint (Path): The checkpoint whose parameters were scored.
        totals (ImageTotals): The totals of each validation image.
        likelihood (numpy.ndarray, optional): ``(C,)`` mean predicted score of each class, for
            classification.
        examples (ExampleImages, optional): Images with their predictions, for segmentation.
    """

    folder: Path
    checkpoint: Path
    totals: ImageTotals
    likelihood: np.ndarray | None = None
    examples: ExampleImages | None = None


def per_class_scores(totals: ImageTotals) -> dict[str, dict[str, float]]:
    """The scores of each class in percent, by score and class name.

    Example:
        >>> per_class_scores(ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1], [0, 0, 1]))
        {'recall': {'robin': 100.0, 'ibis': 50.0}}
    """
    per_class: dict[str, dict[str, float]] = {}
    for (score, class_name), value in scores(totals).items():
        if class_name:
            per_class.setdefault(score, {})[class_name] = value.item()
    return per_class


def training_counts(folder: str | Path) -> ClassCounts | None:
    """The class counts of the training set, where ``class_counts='auto'`` left them in a run."""
    files = sorted(Path(folder).glob('class_counts_*.json'), key=lambda path: path.stat().st_mtime)
    return ClassCounts.load(files[-1]) if files else None


def read_runs(
    folders: Sequence[str | Path], checkpoint: Literal['last', 'best'] = 'last'
) -> dict[str, RunResults]:
    """Read the results of several runs, see :func:`read_run`, by the names that tell them apart.

    Raises:
        InputError: If a folder is given twice, or see :func:`read_run`.
    """
    names = run_names(folders)
    return {name: read_run(folder, checkpoint) for name, folder in zip(names, folders)}


def read_run(folder: str | Path, checkpoint: Literal['last', 'best'] = 'last') -> RunResults:
    """Run a trained model over its validation images, once: then from the cache in its folder.

    The newest config in the folder says which model and images; the data must be where they were
    in the training, relative paths from the same working directory. The cache is a file
    ``image_totals_<fingerprint>.npz``, where the fingerprint is of model and data in the config and
    of the checkpoint's name, size and time. A damaged file is built again, with a warning. The
    fingerprint does not see changed images or label maps: delete the file then.

    Args:
        folder (str or Path): What a training left: ``<config>.py``, and a checkpoint.
        checkpoint (str): ``'last'``, or ``'best'`` for what ``CheckpointHook`` saved as
            ``best_*.pth``.

    Returns:
        RunResults: The results.

    Raises:
        MissingInputError: A ``FileNotFoundError``, if there is no such folder, or no config or no
            checkpoint in it.
        InputError: A ``ValueError``, if the config is for neither MMSegmentation nor MMPretrain or
            has no validation data, or config, checkpoint or data cannot be read.
    """
    folder = Path(folder)
    config, weights = find_config(folder), find_checkpoint(folder, checkpoint)
    cfg = load_config(config, work_dir=folder)
    if not cfg.get('val_dataloader'):
        raise InputError(f'{config} has no val_dataloader: there is nothing to score the run on')
    return read_or_rebuild(
        folder / f'image_totals_{_fingerprint(cfg, weights)}.npz',
        lambda path: _load(folder, weights, path),
        lambda path: _save(_evaluate(cfg, folder, weights), path),
    )


def find_config(folder: Path) -> Path:
    """The config of a run, as MMEngine dumped it: the newest where there are several."""
    configs = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise MissingInputError(
            f'{folder} has no config: expected the folder of a training (its --work-dir), in which '
            'MMEngine leaves <config>.py'
        )
    return configs[-1]


def find_checkpoint(folder: Path, which: Literal['last', 'best'] = 'last') -> Path:
    """The checkpoint of a run, wherever its folder was moved to."""
    if checks.choice('checkpoint', which, ('last', 'best')) == 'best':
        files = sorted(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)[-1:]
        expected = 'best_*.pth, which CheckpointHook(save_best=...) saves'
    else:
        expected = 'last_checkpoint, and the file that it names'
        named = folder / 'last_checkpoint'
        path = Path(named.read_text().strip()) if named.exists() else folder / 'none'
        files = [file for file in (folder / path.name, path) if file.is_file()]
    if not files:
        raise MissingInputError(f'{folder} has no checkpoint: expected {expected}')
    return files[0]


def run_names(folders: Sequence[str | Path]) -> list[str]:
    """What tells the folders of runs apart: their paths without what all begin and end with.

    Raises:
        InputError: If a folder is given twice.

    Examples:
        >>> run_names(['work_dirs/net_1xb4-ce-600i', 'work_dirs/net_1xb4-recall-600i'])
        ['ce', 'recall']
        >>> run_names(['work_dirs/ce', 'work_dirs/ce_long'])
        ['ce', 'ce_long']
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = [str(folder) for folder, path in zip(folders, paths) if paths.count(path) > 1]
    if twice:
        raise InputError(f'runs must be different folders, but got {" and ".join(twice)}')
    # Words and what separates them, in turns.
    words = [re.split(r'([/_-])', str(path)) for path in paths]
    start = _shared_words(words)
    end = _shared_words([parts[:start:-1] for parts in words])
    names = [''.join(parts[start : len(parts) - end]) for parts in words]
    short = len(paths) > 1 and all(name.strip('/_-') for name in names)
    if short:
        return [name.strip('/_-') for name in names]
    tails = [path.name for path in paths]
    return tails if len(set(tails)) == len(tails) else [str(folder) for folder in folders]


def _shared_words(words: list[list[str]]) -> int:
    """How many words (and separators) all begin with."""
    for count, parts in enumerate(zip(*words)):
        if len(set(parts)) > 1:
            return count
    return min(map(len, words))


# --- the model over its validation images -----------------------------------------------------


def _evaluate(cfg: Config, folder: Path, checkpoint: Path) -> RunResults:
    dataset, samples = predictions(cfg, checkpoint, f'Scoring {folder.name}')
    collect = _segmentation if cfg.default_scope == 'mmseg' else _classification
    return collect(cfg, folder, checkpoint, dataset, samples)


def predictions(cfg: Config, checkpoint: Path, title: str) -> tuple[Any, Iterator[tuple]]:
    """The validation set, and of each of its images what the loader gives and the model predicts.

    Args:
        cfg: A config with ``val_dataloader``.
        checkpoint: The parameters.
        title: What the progress bar says.

    Raises:
        InputError: If the checkpoint cannot be read.
    """
    init_default_scope(cfg.default_scope)
    loader_cfg = cfg.val_dataloader.copy()
    # The images in their own order, which is the same for every run.
    loader_cfg['sampler'] = dict(type='DefaultSampler', shuffle=False)
    loader = AnyDeviceRunner.build_dataloader(loader_cfg)
    return loader.dataset, _predicted(cfg, checkpoint, loader, title)


def _predicted(cfg: Config, checkpoint: Path, loader, title: str) -> Iterator[tuple]:
    model_cfg = cfg.model.copy()
    if cfg.get('data_preprocessor'):
        model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)  # as MMEngine's runner
    model = revert_sync_batchnorm(MODELS.build(model_cfg))
    with reading(checkpoint, 'a checkpoint'):
        load_checkpoint(model, str(checkpoint), map_location='cpu')
    model.to(get_device()).eval()
    for batch in track(loader, description=escape(title)):
        with torch.no_grad():
            samples = model.val_step(batch)
        yield from zip(batch['inputs'], samples)


def _segmentation(cfg: Config, folder: Path, checkpoint: Path, dataset, samples) -> RunResults:
    from mmseg.evaluation import IoUMetric

    classes = distinct_names(dataset.metainfo['classes'])
    ignored = _evaluator_option(cfg, 'ignore_index', IGNORED)
    areas: list[np.ndarray] = []
    images: list[np.ndarray] = []
    truth: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for image, sample in samples:
        prediction = sample.pred_sem_seg.data.squeeze()
        labels = sample.gt_sem_seg.data.squeeze().to(prediction)
        intersection, _, predicted_area, label_area = IoUMetric.intersect_and_union(
            prediction, labels, len(classes), ignored
        )
        areas.append(torch.stack([intersection, predicted_area, label_area]).numpy())
        if len(images) < EXAMPLES and len(image) == 3:
            size = _example_size(labels.shape)
            images.append(_resized_image(image, size))
            truth.append(_resized_labels(labels.cpu().numpy(), size))
            predicted.append(_resized_labels(prediction.cpu().numpy(), size))
    palette = dataset.metainfo.get('palette')
    examples = ExampleImages(images, truth, predicted, palette) if images and palette else None
    totals = ImageTotals.of_areas(classes, np.stack(areas))
    return RunResults(folder, checkpoint, totals, examples=examples)


def _classification(cfg: Config, folder: Path, checkpoint: Path, dataset, samples) -> RunResults:
    labels, predictions, likelihood = collect_scores(sample.to_dict() for _, sample in samples)
    classes = distinct_names(dataset.metainfo.get('classes') or range(len(likelihood)))
    groups = _shot_groups(cfg, folder)
    totals = ImageTotals.of_labels(classes, labels, predictions, groups)
    return RunResults(folder, checkpoint, totals, likelihood)


def collect_scores(samples) -> tuple[list[int], list[int], np.ndarray]:
    """Labels, predictions and the mean score of each class.

    Args:
        samples (Iterable[dict]): The ``gt_label`` of one class and the ``pred_score`` of each
            image, as MMPretrain's data samples have them, and the file that
            ``tools/test.py --out`` writes.

    Returns:
        tuple[list[int], list[int], numpy.ndarray]: n labels, n predictions, ``(C,)`` means.

    Raises:
        InputError: If an image has no score of each class, or not one label; or there is no image.
    """
    labels: list[int] = []
    predictions: list[int] = []
    likelihood = np.zeros(())
    for sample in samples:
        label = torch.as_tensor(sample.get('gt_label', [])).flatten().tolist()
        if 'pred_score' not in sample or len(label) != 1:
            raise InputError(
                'each image needs a pred_score and a gt_label of one class, as classification with '
                f'MMPretrain gives them, but one has the label {label} and {sorted(sample)}'
            )
        score = torch.as_tensor(sample['pred_score']).double().cpu()
        labels += label
        predictions.append(int(score.argmax()))
        likelihood = likelihood + score.numpy()
    if not labels:
        raise InputError('there is no image that was scored')
    return labels, predictions, likelihood / len(labels)


def _shot_groups(cfg: Config, folder: Path) -> dict[str, list[int]]:
    """Many-, medium- and few-shot classes, where the config's metric has the class counts."""
    counts = _evaluator_option(cfg, 'class_counts', None)
    if counts is None:
        return {}
    if counts == 'auto':
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        head = cfg.model.get('head') or {}
        counts = cached_class_counts(dataset, folder, head.get('num_classes')).counts
    groups = shot_groups(
        read_class_counts(counts), *_evaluator_option(cfg, 'thresholds', THRESHOLDS)
    )
    return {name: m.nonzero()[:, 0].tolist() for name, m in groups.items() if m.any()}


def _evaluator_option(cfg: Config, name: str, default):
    """An argument of the metric, or of the first of several that has it."""
    evaluator = cfg.get('val_evaluator') or {}
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    return next((metric[name] for metric in metrics if name in metric), default)


def _resized_image(image: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    import cv2

    # MMCV loads BGR.
    pixels = image[[2, 1, 0]].permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _resized_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(labels.astype(np.int16), size, interpolation=cv2.INTER_NEAREST)


def _example_size(shape: Sequence[int]) -> tuple[int, int]:
    """Width and height in which an image of ``(H, W)`` pixels is saved."""
    scale = min(1, EXAMPLE_SIZE / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


# --- cache ------------------------------------------------------------------------------------

ARRAYS = ('image', 'label', 'true_positive', 'predicted', 'support')
EXAMPLE_ARRAYS = ('images', 'truth', 'predicted')


def _fingerprint(cfg: Config, checkpoint: Path) -> str:
    state = checkpoint.stat()
    parts = [cfg.get(key) for key in ('model', 'data_preprocessor', 'val_dataloader')]
    parts += [cfg.get('val_evaluator'), checkpoint.name, state.st_size, state.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _save(results: RunResults, path: Path) -> None:
    totals, examples = results.totals, results.examples
    arrays = {name: getattr(totals, name) for name in ARRAYS}
    about = {f.name: getattr(totals, f.name) for f in fields(totals) if f.name not in ARRAYS}
    if results.likelihood is not None:
        arrays['likelihood'] = results.likelihood
    if examples is not None:
        about['palette'] = np.asarray(examples.palette).tolist()
        for name in EXAMPLE_ARRAYS:
            for index, array in enumerate(getattr(examples, name)):
                arrays[f'{name}_{index}'] = array
    with written_whole(path) as unfinished:
        np.savez_compressed(unfinished, about=json.dumps(about), **arrays)


def _load(folder: Path, checkpoint: Path, path: Path) -> RunResults:
    with reading(path, 'the totals of a run'):
        with open(path, 'rb') as file, np.load(file) as archive:
            arrays = dict(archive)
        about = json.loads(str(arrays['about']))
        palette = about.pop('palette', None)
        examples = None
        if palette is not None:
            count = sum(name.startswith('images_') for name in arrays)
            lists = {n: [arrays[f'{n}_{i}'] for i in range(count)] for n in EXAMPLE_ARRAYS}
            examples = ExampleImages(**lists, palette=palette)
        totals = ImageTotals(**about, **{name: arrays[name] for name in ARRAYS})
    return RunResults(folder, checkpoint, totals, arrays.get('likelihood'), examples)
