"""One HTML page that needs no other file: the comparison of runs, to be searched and clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..evaluation.comparison import Comparison, Row, interval
from ..files import written_whole
from .page_data import page_data

if TYPE_CHECKING:
    from ..evaluation.predictions import RunResults

#: The scores that stand first, as far as a comparison has them.
HEADLINES = ('mIoU', 'mAcc', 'mean precision', 'aAcc')
HEADLINES += ('top1', 'mean recall', 'many', 'medium', 'few')

#: What a sentence calls scores whose names say too little there.
IN_WORDS = {group: f'{group}-shot recall' for group in ('many', 'medium', 'few')}

#: What can be said of a difference, of one score and of several.
OUTCOMES = dict(
    rise=('rises significantly', 'rise significantly'),
    fall=('falls significantly', 'fall significantly'),
    unclear=('does not change significantly', 'do not change significantly'),
    untested=('has no valid interval', 'have no valid interval'),
)

MAX_LISTED = 5
"""Classes that the verdict names; of more it gives the number."""

MAX_SETTINGS = 60
"""Settings of a config difference that the page lists."""


def write_page(
    comparison: Comparison,
    runs: Mapping[str, Sequence[RunResults]],
    path: str | Path,
    class_counts: Sequence[float] | None = None,
) -> Path:
    """Write a comparison of runs as one page that loads nothing from anywhere.

    It has the verdict, every score with its interval, where the runs come from, the confusion
    matrix, images with their predictions, and what was logged in the trainings. The confusion is
    the mean over the trainings of a run, images and curves are those of its first training.

    Args:
        comparison (Comparison): The scores.
        runs (Mapping[str, Sequence[RunResults]]): The trainings of each run of the comparison.
        path (str or Path): ``.html`` file to write.
        class_counts (Sequence[float], optional): C training counts, by which classes are sorted
            and grouped; by default their shares of the validation images.

    Returns:
        Path: The file.

    Raises:
        ValueError: If the runs are not those of the comparison.

    Example:
        >>> import tempfile
        >>> from mmseg_recall.evaluation import ImageTotals, RunResults, compare
        >>> totals = ImageTotals.of_labels(['robin', 'ibis'], [0, 1], [0, 0])
        >>> pairs = np.array([[0, 0, 0, 1], [1, 1, 0, 1]])
        >>> run = RunResults(Path('runs/ce'), Path('last.pth'), totals, pairs=pairs)
        >>> page = Path(tempfile.mkdtemp()) / 'index.html'
        >>> write_page(compare({'CE': totals}), {'CE': [run]}, page).name
        'index.html'
    """
    if list(runs) != comparison.runs:
        raise ValueError(f'runs must be {comparison.runs}, as compared, but got {list(runs)}')
    first, *others = comparison.runs
    text = (
        _environment()
        .get_template('page.html')
        .render(
            title=f'{", ".join(others)} against {first}' if others else first,
            comparison=comparison,
            verdicts=[(run, verdict(comparison, number)) for number, run in enumerate(others)],
            tiles=_means(comparison, HEADLINES),
            in_words=IN_WORDS,
            several=max(comparison.trainings) > 1,
            means=[row for row in comparison.rows if not row.class_name],
            interval=interval,
            runs=runs,
            differences=config_difference([of_run[0].settings for of_run in runs.values()]),
            max_settings=MAX_SETTINGS,
            data=page_data(comparison, runs, class_counts),
        )
    )
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')
    return Path(path)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, 'templates'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` writes < > & ' as escapes, so that no name can end the script element.
    environment.policies['json.dumps_kwargs'] = dict(
        allow_nan=False, ensure_ascii=False, separators=(',', ':')
    )
    return environment


def verdict(comparison: Comparison, number: int) -> str:
    """What a run changes, in sentences.

    Args:
        comparison (Comparison): The scores.
        number (int): The index of the run among those after the baseline.

    Example:
        >>> from mmseg_recall.evaluation import ImageTotals, compare
        >>> labels = [0] * 60 + [1] * 40
        >>> ce, recall = ([0] * (100 - ibis) + [1] * ibis for ibis in (10, 40))
        >>> runs = {
        ...     name: ImageTotals.of_labels(['robin', 'ibis'], labels, predicted)
        ...     for name, predicted in dict(CE=ce, Recall=recall).items()
        ... }
        >>> verdict(compare(runs, resamples=200), 0)
        'top1 (+30.00) and mean recall (+37.50) rise significantly. Class by class, recall \
rises significantly for ibis and falls for no class.'
    """
    outcomes: dict[str, list[str]] = {outcome: [] for outcome in OUTCOMES}
    for row in _means(comparison, HEADLINES):
        name = IN_WORDS.get(row.score, row.score)
        change = f'{name} ({row.differences[number].value:+.2f})'
        outcomes[_outcome(row, number)].append(change)
    sentence = '; '.join(
        f'{_listed(changes)} {OUTCOMES[outcome][len(changes) > 1]}'
        for outcome, changes in outcomes.items()
        if changes
    )
    return f'{sentence}. {_classes_moved(comparison, number)}'


def _classes_moved(comparison: Comparison, number: int) -> str:
    """Of the score that comes first for classes, IoU or recall."""
    of_classes = [row for row in comparison.rows if row.class_name]
    score = of_classes[0].score
    up, down = (
        [
            f'class {row.class_name}' if row.class_name.isdigit() else row.class_name
            for row in of_classes
            if row.score == score and _outcome(row, number) == outcome
        ]
        for outcome in ('rise', 'fall')
    )
    if not up and not down:
        return f'No class changes significantly in {score}.'
    changes = f'rises significantly for {_listed(up)} and falls for {_listed(down)}'
    return f'Class by class, {score} {changes}.'


def _outcome(row: Row, number: int) -> str:
    difference = row.differences[number]
    if np.isnan(difference.p_value):
        return 'untested'
    if not difference.clear:
        return 'unclear'
    return 'rise' if difference.value > 0 else 'fall'


def _listed(names: Sequence[str]) -> str:
    if len(names) > MAX_LISTED:
        return f'{len(names)} classes'
    *before, last = names or ['no class']
    return f'{", ".join(before)} and {last}' if before else last


def _means(comparison: Comparison, names: Sequence[str]) -> list[Row]:
    """Those scores over classes that the comparison has, in the order of the names."""
    rows = {row.score: row for row in comparison.rows if not row.class_name}
    return [rows[name] for name in names if name in rows and not np.isnan(rows[name].values[0])]


def config_difference(settings: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """The settings in which configs differ, with the value that each has.

    Example:
        >>> config_difference([dict(lr='1', gamma='2'), dict(lr='1')])
        [('gamma', ['2', 'not set'])]
    """
    names = dict.fromkeys(name for of_run in settings for name in of_run)
    values = {name: [of_run.get(name, 'not set') for of_run in settings] for name in names}
    return [(name, of_runs) for name, of_runs in values.items() if len(set(of_runs)) > 1]
