"""Packages whose modules need different libraries: each is imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

#: What modules here need, by the name it is imported by: what people call it, and the extra of
#: this package that installs it.
LIBRARIES = dict(
    mmengine=('MMEngine', 'onedl'),
    mmcv=('MMCV', 'onedl'),
    mmseg=('MMSegmentation', 'onedl'),
    mmpretrain=('MMPretrain', 'onedl'),
    lvis=('lvis', 'detection'),
    rich=('rich', 'onedl'),
    cv2=('OpenCV', 'onedl'),
    sklearn=('scikit-learn', 'onedl'),
    matplotlib=('matplotlib', 'plots'),
    jinja2=('jinja2', 'plots'),
    scipy=('SciPy', 'plots'),
)
#: Those that modules register themselves with.
REGISTRIES = ('mmengine', 'mmseg', 'mmpretrain')

#: Of each module of a package the library it registers itself with, or needs another way
#: (``None``: nothing to wait for), and the names it exports.
Modules = dict[str, tuple[str | None, tuple[str, ...]]]


def exports(package: str, modules: Modules) -> tuple[Callable, Callable, list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package."""
    module_of = {name: module for module, (_, names) in modules.items() for name in names}

    def get(name: str):
        module = module_of.get(name, name)
        if module not in modules:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        imported = _import(f'{package}.{module}')
        return getattr(imported, name) if name in module_of else imported

    names = sorted(module_of)
    return get, lambda: names, names


def _import(module: str):
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or '').split('.')[0]
        if missing not in LIBRARIES:
            raise
        name, extra = LIBRARIES[missing]
        other = " (or 'mmseg-recall[openmmlab]' for OpenMMLab's own packages)"
        raise ImportError(
            f"{module} needs {name}: pip install 'mmseg-recall[{extra}]'"
            f'{other if extra == "onedl" else ""}'
        ) from error


def register(
    package: str, packages: Sequence[str], models: Sequence[type], projects: dict[str, str]
) -> None:
    """Make everything known by name to the libraries that are installed.

    Of each of the ``packages`` the modules are imported that register themselves with a library;
    the ``models`` go to the registry of each library, MMEngine's own among them, where others
    that build on it (MMDetection, ...) look too. ``projects`` are packages of their own, with the
    library each needs; they are left out where they are not installed.

    Who uses another library must not stop at one that cannot be imported (a torchvision that does
    not fit torch breaks MMPretrain, not MMSegmentation): a warning says so.
    """
    for library in REGISTRIES:
        if importlib.util.find_spec(library) is None:
            continue
        try:
            with _without_notice():
                _register_with(library, package, packages, models, projects)
        except Exception as error:
            warnings.warn(
                f'{library} is installed but cannot be imported, so what {package} has for it is '
                f'not registered: {type(error).__name__}: {error}',
                stacklevel=3,
            )


def _register_with(library, package, packages, models, projects) -> None:
    registry = importlib.import_module(f'{library}.registry').MODELS
    for model in models:
        registry.register_module(module=model)
    for part in packages:
        room = importlib.import_module(f'{package}.{part}')
        for module, (needed, _) in room.MODULES.items():
            if needed == library:
                importlib.import_module(f'{room.__name__}.{module}')
    for project, needed in projects.items():
        if needed == library and importlib.util.find_spec(project) is not None:
            importlib.import_module(project)


@contextmanager
def _without_notice() -> Iterator[None]:
    """Leave out what the libraries say of optional parts that nothing here uses.

    MMSegmentation and MMPretrain print a line that is meant for a debugging log; MMCV warns that
    it was installed without compiled operations.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
            yield
    finally:
        print(printed.getvalue().replace('Could not import OneDL\n', ''), end='')
