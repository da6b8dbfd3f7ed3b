"""Names of scalars, and what MMEngine's ``LocalVisBackend`` writes: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..files import InputError, MissingInputError, reading


def as_logged(name: object) -> str:
    """A class's name as part of a scalar's: MMEngine users read "loss" as a part of the total.

    Example:
        >>> as_logged('gloss paint'), as_logged(3)
        ('gl_oss paint', '3')
    """
    return str(name).replace('loss', 'l_oss')


def read_scalars(source: str | Path, prefix: str) -> dict[str, dict[int, float]]:
    """Read all scalars whose names start with a prefix.

    Args:
        source (str or Path): A ``scalars.json``, or a work directory. A work directory holds one
            such file for every time the run was started; where they overlap the later one counts.
        prefix (str): Start of the names, such as ``'recall_weight/'``.

    Returns:
        dict[str, dict[int, float]]: The values by step of each name, which comes without the
        prefix.

    Raises:
        MissingInputError: A ``FileNotFoundError``, if there is no ``scalars.json``.
        InputError: A ``ValueError``, if a line is not a JSON object with a step. (A last line that
            is not JSON is skipped: a killed run leaves it unfinished.)

    Example:
        >>> import tempfile
        >>> log = Path(tempfile.mkdtemp()) / 'scalars.json'
        >>> _ = log.write_text('{"recall/pole": 0.5, "lr": 0.1, "step": 10}')
        >>> read_scalars(log, 'recall/')
        {'pole': {10: 0.5}}
    """
    series: dict[str, dict[int, float]] = {}
    for file in _files(Path(source)):
        for line in _lines(file):
            for name, value in line.items():
                if name.startswith(prefix):
                    series.setdefault(name[len(prefix) :], {})[line['step']] = value
    return series


def _files(source: Path) -> list[Path]:
    """The files to read, the oldest first: their folders are named by time."""
    files = [source] if source.is_file() else sorted(source.glob('*/vis_data/scalars.json'))
    if not files:
        raise MissingInputError(
            f'{source} is neither a scalars.json nor a work directory with '
            '<time>/vis_data/scalars.json in it'
        )
    return files


def _lines(file: Path) -> Iterator[dict]:
    with reading(file, 'the scalars of a training'):
        lines = file.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):
                return
            content = None
        if not isinstance(content, dict) or 'step' not in content:
            raise InputError(
                f'{file}, line {number} is not a JSON object with a step, as LocalVisBackend '
                f'writes it: {line[:80]!r}'
            )
        yield content
