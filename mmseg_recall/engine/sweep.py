"""A grid of trainings, one after the other: finished ones stay, broken ones go on."""

from __future__ import annotations

import copy
import csv
import difflib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from rich import box
from rich.table import Table

from ..files import InputError, reading, written_whole
from .launch import build_runner, load_config, read_config, resume, use_mixed_precision
from .side_by_side import console, train_all

SCORES = 'scores.json'
"""The file in a run's folder with the scores of the model: a run that has it is finished."""

RUNS, TABLE = 'runs.csv', 'table.md'
"""The files of a sweep: all scores of each run, and their means over the seeds."""


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        name (str): The name of its folder.
        config (str): The name of its config, without ``.py``.
        values (dict): Its value of each key of the grid.
        seed (int): The seed of the initial weights and of the order of the data.
        cfg (mmengine.config.Config): All of its settings but the folder.
    """

    name: str
    config: str
    values: dict[str, Any]
    seed: int
    cfg: Config


def plan(
    configs: Sequence[str | Path],
    grid: Mapping[str, Sequence],
    seeds: Sequence[int],
    options: Sequence[str] = (),
    amp: bool = False,
) -> list[Run]:
    """All runs of a sweep: each config with each combination of the grid's values and each seed.

    Args:
        configs: The files, of configs of any of the libraries.
        grid: The values of each key, which is written as in ``--cfg-options``.
        seeds: The seeds.
        options: Settings to override in all, see :func:`~mmseg_recall.engine.launch.read_config`.
        amp: Whether to train with mixed precision.

    Raises:
        InputError: If a config cannot be read, lacks a key of the grid or validation data, or two
            runs would be the same.
    """
    runs = []
    for path in configs:
        base = load_config(path, options)
        base.pop('work_dir')  # is where the config is, wherever that is moved to
        _check(base, path, grid)
        if amp:
            use_mixed_precision(base)
        for values in itertools.product(*grid.values()):
            for seed in seeds:
                runs.append(_run(base, Path(path).stem, dict(zip(grid, values)), seed))
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f'configs, --grid and --seeds must give different runs, but got twice: {twice[0]}'
        )
    return runs


def run_all(runs: Sequence[Run], folder: Path) -> list[str]:
    """Train those that are not finished, and write the results after each.

    Every run gets a folder of its name, its config is in ``configs``. A run that was interrupted
    goes on at its last checkpoint. One that fails does not stop the others.

    Returns:
        list[str]: The names of those that failed.

    Raises:
        InputError: If a run of that name was begun with other settings.
    """
    configs = {run.name: folder / 'configs' / f'{run.name}.py' for run in runs}
    for run in runs:
        _write_config(run, configs[run.name], folder / run.name)
    failed = []
    for number, run in enumerate(runs, start=1):
        if not (folder / run.name / SCORES).exists():
            console.print(f'\nRun {number} of {len(runs)}')
            try:
                train_all(train_and_score, {run.name: configs[run.name]}, folder)
            except SystemExit as failure:  # with the end of the log
                console.print(failure.code, soft_wrap=True)
                failed.append(run.name)
        rows = write_results(runs, folder)
    _print(rows)
    return failed


def train_and_score(config: Path, folder: Path) -> None:
    """Train a run, from its last checkpoint if it has one, and score the model at the end."""
    cfg = load_config(config, work_dir=folder)
    resume(cfg)
    runner = build_runner(cfg)
    runner.train()
    # Once more: the schedule may end without a validation, or was interrupted in its last one.
    scores = runner.val_loop.run()
    with written_whole(folder / SCORES) as unfinished:
        unfinished.write_text(json.dumps(scores, default=float, indent=1))


def write_results(runs: Sequence[Run], folder: Path) -> list[list[str]]:
    """Write what the finished runs reached: ``runs.csv`` and ``table.md``.

    Returns:
        list[list[str]]: The rows of the table, its header first: means and standard deviations
        (n - 1) over the seeds. Scores of single classes (``recall/pole``) are in ``runs.csv``
        alone.
    """
    scores = {run.name: _scores(folder / run.name / SCORES) for run in runs}
    names = list(dict.fromkeys(itertools.chain(*scores.values())))
    keys = list(runs[0].values)
    with written_whole(folder / RUNS) as unfinished, open(unfinished, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['config', *keys, 'seed', *names])
        for run in runs:
            if found := scores[run.name]:
                values = [found.get(name, '') for name in names]
                writer.writerow([run.config, *run.values.values(), run.seed, *values])
    header, *rows = _table(runs, scores, names)
    words = 1 + len(keys)  # to the left, and numbers to the right
    line = ['---'] * words + ['--:'] * (len(header) - words)
    text = ''.join(f'| {" | ".join(row)} |\n' for row in (header, line, *rows))
    with written_whole(folder / TABLE) as unfinished:
        unfinished.write_text(text, encoding='utf-8')
    return [header, *rows]


def read_results(folder: Path) -> tuple[list[str], list[str], list[dict[str, str]]]:
    """What :func:`write_results` wrote of the runs.

    Returns:
        tuple[list[str], list[str], list[dict[str, str]]]: What tells the runs apart beside the seed
        (``config`` and the grid's keys), the names of the scores, and of each run both.

    Raises:
        InputError: If it cannot be read.
    """
    path = folder / RUNS
    with reading(path, 'the runs of a sweep'), open(path, newline='') as file:
        table = csv.DictReader(file)
        columns, runs = list(table.fieldnames or []), list(table)
        seed = columns.index('seed')
    if not runs:
        raise InputError(f'{path} has no finished run')
    return columns[:seed], columns[seed + 1 :], runs


def short_names(keys: Sequence[str]) -> list[str]:
    """The shortest ends of the keys that tell them apart.

    Example:
        >>> short_names(['model.head.loss.beta', 'model.neck.size', 'model.head.size'])
        ['beta', 'neck.size', 'head.size']
    """
    short = []
    for key in keys:
        parts = key.split('.')
        ends = ['.'.join(parts[-length:]) for length in range(1, len(parts) + 1)]
        unique = (end for end in ends if sum(f'.{other}'.endswith(f'.{end}') for other in keys) < 2)
        short.append(next(unique, key))
    return short


def _check(cfg: Config, path: str | Path, grid: Mapping[str, Sequence]) -> None:
    for key in grid:
        parent: Any = cfg
        for depth, part in enumerate(key.split('.')):
            if isinstance(parent, (list, tuple)) and part.isdigit() and int(part) < len(parent):
                parent = parent[int(part)]
            elif isinstance(parent, (Config, ConfigDict)) and part in parent:
                parent = parent[part]
            else:
                above = '.'.join(key.split('.')[:depth]) or 'it'
                raise InputError(
                    f'--grid {key}: {path} has no such key; {above} {_content(parent)} (a key that '
                    'only a default has is added by --cfg-options)'
                )
    if not cfg.get('val_dataloader'):
        raise InputError(f'{path} has no val_dataloader: there is nothing to score its runs on')


def _content(value) -> str:
    if isinstance(value, (Config, ConfigDict)):
        return f'has {", ".join(value)}'
    if isinstance(value, (list, tuple)):
        return f'is a list of {len(value)}, from 0 on'
    return f'is {value!r}'


def _run(base: Config, config: str, values: dict[str, Any], seed: int) -> Run:
    cfg = copy.deepcopy(base)
    cfg.merge_from_dict({'randomness.seed': seed, **values})
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint', {})
    if checkpoint.get('max_keep_ckpts') == 1:
        # MMEngine deletes the old one before it saves the new one: killed in between, a run would
        # have none.
        checkpoint.max_keep_ckpts = 2
    settings = [f'{key}={value}' for key, value in zip(short_names(list(values)), values.values())]
    name = '_'.join([config, *settings, f'seed={seed}'])
    return Run(re.sub(r'[^\w.,=+-]+', '-', name), config, values, seed, cfg)


def _write_config(run: Run, path: Path, folder: Path) -> None:
    begun = any((folder / name).exists() for name in (SCORES, 'last_checkpoint'))
    if begun and path.exists():
        before = read_config(path)
        if before.to_dict() != run.cfg.to_dict():
            lines = difflib.ndiff(*(c.pretty_text.splitlines() for c in (before, run.cfg)))
            changes = '\n'.join(line for line in lines if line[0] in '+-')
            raise InputError(
                f'{folder} was trained with other settings (-) than those asked for now (+); '
                f'choose another --work-dir, or delete that folder:\n{changes}'
            )
    with written_whole(path) as unfinished:
        run.cfg.dump(unfinished)


def _scores(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    with reading(path, 'the scores of a run'):
        return json.loads(path.read_text())


def _table(
    runs: Sequence[Run], scores: Mapping[str, dict], names: Sequence[str]
) -> list[list[str]]:
    """The header, and one row for all seeds of the same settings."""
    cells: dict[tuple, list[dict]] = {}
    for run in runs:
        finished = cells.setdefault((run.config, *map(str, run.values.values())), [])
        finished += [scores[run.name]] if scores[run.name] else []
    shown = [name for name in names if '/' not in name] or names
    found = [run_scores.get(name, 0) for run_scores in scores.values() for name in shown]
    digits = 2 if any(score > 1 for score in found) else 4  # of percent, of parts of 1 (COCO's AP)
    rows = [['config', *short_names(list(runs[0].values)), 'runs', *shown]]
    for cell, finished in cells.items():
        means = [_mean([s[name] for s in finished if name in s], digits) for name in shown]
        rows.append([*cell, str(len(finished)), *means])
    return rows


def _print(rows: list[list[str]]) -> None:
    """Show the table with nothing cut off, however narrow the terminal is."""
    table = Table(box=box.SIMPLE)
    for name in rows[0]:
        table.add_column(name, overflow='fold')
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


def _mean(values: list[float], digits: int) -> str:
    if not values:
        return ''
    mean = f'{np.mean(values):.{digits}f}'
    # Not of a score that does not exist: few-shot accuracy where no class is so rare.
    if len(values) < 2 or mean == 'nan':
        return mean
    return f'{mean} ± {np.std(values, ddof=1):.{digits}f}'
