"""Files are written whole or not at all, and what cannot be read is named in one sentence."""

from __future__ import annotations

import os
import pickle
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path


class InputError(ValueError):
    """A file or an argument of the user that cannot be used; the message is a sentence for them."""


class MissingInputError(InputError, FileNotFoundError):
    """A file of the user that does not exist."""


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; the file becomes ``path`` when the block ends without an error.

    It is in a new folder beside ``path``, whose name is unique among all processes and machines
    that share the disk. Folders above that do not exist are made.

    Args:
        path: The file to write. What it held before stays until the new content is complete.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / 'new/counts.json'
        >>> with written_whole(path) as unfinished:
        ...     _ = unfinished.write_text('[1, 2]')
        >>> path.read_text()
        '[1, 2]'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own the file gets the permissions that any new file gets.
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f'{path.name}.', suffix='.tmp'
    ) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        os.replace(unfinished, path)


@contextmanager
def reading(
    path: str | Path, expected: str, errors: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Turn what goes wrong while a file is read into one sentence with its path.

    Decoders raise almost any exception where bytes are damaged, so put nothing into the block but
    the reading itself.

    Args:
        path: The file.
        expected: What it should hold, such as ``'a checkpoint'``.
        errors: What reading the file may raise.

    Raises:
        InputError: In place of the errors; `MissingInputError` in place of ``FileNotFoundError``.

    Example:
        >>> import json
        >>> with reading('counts.json', 'class counts in JSON'):
        ...     json.loads('[1, 2')
        Traceback (most recent call last):
        ...
        mmseg_recall.files.InputError: counts.json cannot be read: expected class counts in JSON, \
but got JSONDecodeError: Expecting ',' delimiter: line 1 column 6 (char 5)
    """
    try:
        yield
    except InputError:
        raise
    except errors as error:
        lines = str(error).strip().splitlines() or ['']
        kind = MissingInputError if isinstance(error, FileNotFoundError) else InputError
        raise kind(
            f'{path} cannot be read: expected {expected}, but got {type(error).__name__}: '
            f'{lines[0]}'
        ) from error


@contextmanager
def input_errors() -> Iterator[None]:
    """Turn a ``ValueError`` about what the user gave, a sentence already, into an `InputError`."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def read_checkpoint(path: str | Path) -> dict:
    """The content of a checkpoint, from wherever MMEngine can load it, on the CPU.

    Raises:
        InputError: If it cannot be loaded, or holds no dictionary.
    """
    from mmengine.runner import CheckpointLoader

    with reading(path, 'a checkpoint'):
        checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu', logger='silent')
        if not isinstance(checkpoint, dict):
            raise TypeError(f'{type(checkpoint).__name__} in place of a dictionary')
    return checkpoint


def read_weights(path: str | Path) -> dict:
    """The content of a checkpoint, on the CPU, without running any code that it may hold.

    Beside tensors and plain data MMEngine saves NumPy's numbers and the histories of its logs.
    ``torch.load(weights_only=True)`` accepts them from torch 2.6 on, where it is told which they
    are; the histories become objects without content.

    Raises:
        InputError: If there is no such file, it is damaged, or it holds other objects.
    """
    import torch

    with reading(path, 'a checkpoint'):
        try:
            with _allowed_objects():
                checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        except pickle.UnpicklingError as error:
            kind = re.search(r'Unsupported (?:global|class):? (?:GLOBAL )?([\w.]+)', str(error))
            if kind is None:
                raise
            newer = '' if _can_be_told() else ", or use torch 2.6, which accepts MMEngine's logs"
            raise InputError(
                f'{path} holds a {kind[1]}, which torch {torch.__version__} cannot load safely '
                f'(weights_only=True): save meta and state_dict alone{newer}'
            ) from error
        if not isinstance(checkpoint, dict):
            raise TypeError(f'{type(checkpoint).__name__} in place of a dictionary')
    return checkpoint


def _can_be_told() -> bool:
    """Whether torch can be told by which of our objects to replace the objects of a checkpoint."""
    import torch

    return tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6)


def _allowed_objects() -> AbstractContextManager:
    """Let ``torch.load(weights_only=True)`` accept what MMEngine saves, where torch can be told."""
    import numpy as np
    import torch

    if not _can_be_told():
        return nullcontext()
    dtypes = {type(np.dtype(code)) for code in '?bhilqBHILQefd'}
    numpy = {'_reconstruct': np.empty(0).__reduce__()[0], 'scalar': np.float64(0).__reduce__()[0]}
    functions = [
        (function, f'numpy.{core}.multiarray.{name}')
        for name, function in numpy.items()
        for core in ('core', '_core')  # NumPy 1 and 2
    ]
    # Never the real ones: getattr, by which a history names its statistics, could reach any code.
    logs = [
        (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_History.statistic, 'builtins.getattr'),
    ]
    return torch.serialization.safe_globals([np.ndarray, np.dtype, *dtypes, *functions, *logs])


class _History:
    """What MMEngine's history of a logged value is read as."""

    @staticmethod
    def statistic(owner, name: str) -> str:
        """The name of one of its methods, in place of the method."""
        return name


def read_or_rebuild(path: Path, read: Callable, rebuild: Callable):
    """What a cache file holds; a file that is damaged or missing is built first.

    Args:
        path: The file.
        read: Called with the path, gives the content; `InputError` if it is damaged.
        rebuild: Called with the path, writes the file.
    """
    if path.exists():
        try:
            return read(path)
        except InputError as error:
            warnings.warn(f'{error}. It is built again', stacklevel=3)
    rebuild(path)
    return read(path)


def run_tool(main: Callable, *arguments) -> None:
    """Call a tool's ``main``; on an `InputError` say its sentence and exit with status 2.

    Every other exception is an error of the program, and keeps its traceback.
    """
    try:
        main(*arguments)
    except InputError as error:
        # A DataLoader's process writes its traceback before the sentence.
        sentence = str(error).strip().split(f'{InputError.__name__}: ')[-1]
        print(f'{Path(sys.argv[0]).name}: {sentence}', file=sys.stderr)
        sys.exit(2)
