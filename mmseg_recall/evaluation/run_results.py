"""The folder of a training -> its model's totals on each validation image, cached there."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import load_checkpoint
from rich.markup import escape
from rich.progress import track

from ..datasets.class_counts import IGNORED, ClassCounts, cached_class_counts
from ..engine.launch import ONE_CLASS_EACH, build_model, load_config
from ..engine.runner import AnyDeviceRunner
from ..files import InputError, MissingInputError, read_or_rebuild, reading, written_whole
from ..functional import checks, read_class_counts, shot_groups
from .image_totals import ImageTotals, distinct_names, scores
from .predictions import (
    MAX_EXAMPLES,
    Examples,
    RunResults,
    class_colours,
    encode_image,
    encode_labels,
    equal_distances,
    label_pairs,
    run_names,
    small_size,
)
from .provenance import run_facts, run_settings

LOGGER = logging.getLogger(__name__)
"""For what MMEngine says of a checkpoint: warnings are shown, not that it is being loaded."""

THRESHOLDS = (20, 100)
"""Where few-shot ends and many-shot begins, unless ``LongTailAccuracy`` says otherwise."""


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
    cfg = load_config(config, work_dir=folder, scopes=ONE_CLASS_EACH)
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


# --- the model over its validation images -----------------------------------------------------


def _evaluate(cfg: Config, folder: Path, checkpoint: Path) -> RunResults:
    dataset, samples, meta = predictions(cfg, checkpoint, f'Scoring {folder.name}')
    collect = _segmentation if cfg.default_scope == 'mmseg' else _classification
    results = collect(cfg, folder, checkpoint, dataset, samples)
    return replace(results, facts=run_facts(cfg, meta), settings=run_settings(cfg))


def predictions(cfg: Config, checkpoint: Path, title: str) -> tuple[Any, Iterator[tuple], dict]:
    """The validation set, each image as the loader gives it with what the model predicts, and what
    else the checkpoint says.

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
    loader_cfg['pin_memory'] = False  # one pass gains nothing; without a GPU it would warn
    loader = AnyDeviceRunner.build_dataloader(loader_cfg)
    model, meta = _trained_model(cfg, checkpoint)
    return loader.dataset, _predicted(model, loader, title), meta


def _trained_model(cfg: Config, checkpoint: Path) -> tuple[torch.nn.Module, dict]:
    """The model with its parameters, and what else the checkpoint says."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the training said them
        model = build_model(cfg)
    with reading(checkpoint, 'a checkpoint'):
        loaded = load_checkpoint(model, str(checkpoint), map_location='cpu', logger=LOGGER)
    return model.to(get_device()).eval(), loaded.get('meta') or {}


def _predicted(model: torch.nn.Module, loader, title: str) -> Iterator[tuple]:
    """Each image as the loader gives it, and what the model says of it."""
    for batch in track(loader, description=escape(title)):
        with torch.no_grad():
            samples = model.val_step(batch)
        yield from zip(batch['inputs'], samples)


def _segmentation(cfg: Config, folder: Path, checkpoint: Path, dataset, samples) -> RunResults:
    from mmseg.evaluation import IoUMetric

    classes = distinct_names(dataset.metainfo['classes'])
    ignored = _evaluator_option(cfg, 'ignore_index', IGNORED)
    palette = dataset.metainfo.get('palette') or class_colours(len(classes))
    examples = Examples(palette=np.asarray(palette).tolist())
    chosen = set(equal_distances(len(dataset), MAX_EXAMPLES))
    areas: list[np.ndarray] = []
    pairs: list[np.ndarray] = []
    for index, (image, sample) in enumerate(samples):
        prediction = sample.pred_sem_seg.data.squeeze()
        labels = sample.gt_sem_seg.data.squeeze().to(prediction)
        intersection, _, predicted_area, label_area = IoUMetric.intersect_and_union(
            prediction, labels, len(classes), ignored
        )
        areas.append(torch.stack([intersection, predicted_area, label_area]).numpy())
        truth, predicted = labels.cpu().numpy(), prediction.cpu().numpy()
        truth[truth == ignored] = -1
        pairs.append(label_pairs(index, truth, predicted, len(classes)))
        if index in chosen:
            size = small_size(truth.shape)
            examples.index.append(index)
            examples.images.append(encode_image(_pixels(image), size))
            examples.truth.append(encode_labels(truth, size, len(classes)))
            examples.predicted.append(encode_labels(predicted, size, len(classes)))
    totals = ImageTotals.of_areas(classes, np.stack(areas))
    return RunResults(folder, checkpoint, totals, pairs=np.concatenate(pairs), examples=examples)


def _classification(cfg: Config, folder: Path, checkpoint: Path, dataset, samples) -> RunResults:
    examples = Examples()
    samples = _with_examples(samples, examples, set(equal_distances(len(dataset), MAX_EXAMPLES)))
    labels, predictions, likelihood = collect_scores(sample.to_dict() for sample in samples)
    classes = distinct_names(dataset.metainfo.get('classes') or range(len(likelihood)))
    groups = _shot_groups(cfg, folder)
    totals = ImageTotals.of_labels(classes, labels, predictions, groups)
    columns = [np.arange(len(labels)), labels, predictions, np.ones_like(labels)]
    pairs = np.stack(columns, 1).astype(np.int64)
    return RunResults(folder, checkpoint, totals, likelihood, pairs, examples)


def _with_examples(samples, examples: Examples, chosen: set[int]) -> Iterator:
    """The samples, while the chosen images are kept."""
    for index, (image, sample) in enumerate(samples):
        if index in chosen:
            examples.index.append(index)
            examples.images.append(encode_image(_pixels(image), small_size(image.shape[1:])))
        yield sample


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


def _pixels(image: torch.Tensor) -> np.ndarray:
    """An image of the loader, ``(H, W, 3)`` BGR as MMCV loads it; grey where it has one channel."""
    channels = image if len(image) == 3 else image[:1].expand(3, -1, -1)
    return channels.permute(1, 2, 0).cpu().numpy()


# --- cache ------------------------------------------------------------------------------------

# `index` and what `ENCODED` names are of the examples.
ARRAYS = ('image', 'label', 'true_positive', 'predicted', 'support')
ENCODED = ('images', 'truth', 'predicted')


def _fingerprint(cfg: Config, checkpoint: Path) -> str:
    state = checkpoint.stat()
    parts = [cfg.get(key) for key in ('model', 'data_preprocessor', 'val_dataloader')]
    parts += [cfg.get('val_evaluator'), checkpoint.name, state.st_size, state.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _save(results: RunResults, path: Path) -> None:
    totals, examples = results.totals, results.examples
    arrays = {name: getattr(totals, name) for name in ARRAYS} | dict(pairs=results.pairs)
    about = {f.name: getattr(totals, f.name) for f in fields(totals) if f.name not in ARRAYS}
    extra = dict(facts=results.facts, settings=results.settings, palette=examples.palette)
    if results.likelihood is not None:
        arrays['likelihood'] = results.likelihood
    arrays['index'] = np.array(examples.index, int)
    for kind in ENCODED:
        for number, content in enumerate(getattr(examples, kind)):
            arrays[f'{kind}_{number}'] = np.frombuffer(content, np.uint8)
    with written_whole(path) as unfinished:
        np.savez_compressed(unfinished, about=json.dumps(about), extra=json.dumps(extra), **arrays)


def _load(folder: Path, checkpoint: Path, path: Path) -> RunResults:
    with reading(path, 'the totals of a run'):
        with open(path, 'rb') as file, np.load(file) as archive:
            arrays = dict(archive)
        about, extra = (json.loads(str(arrays[name])) for name in ('about', 'extra'))
        encoded = {
            kind: [
                arrays[f'{kind}_{number}'].tobytes()
                for number in range(len(arrays['index']))
                if f'{kind}_{number}' in arrays
            ]
            for kind in ENCODED
        }
        examples = Examples(arrays['index'].tolist(), **encoded, palette=extra.pop('palette'))
        totals = ImageTotals(**about, **{name: arrays[name] for name in ARRAYS})
    likelihood = arrays.get('likelihood')
    return RunResults(folder, checkpoint, totals, likelihood, arrays['pairs'], examples, **extra)
