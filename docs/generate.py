"""The tables of the site that are made from the configs and their metafiles, never by hand."""

import warnings
from pathlib import Path

import yaml

#: Folders whose configs only MMDetection can build.
OF_MMDETECTION = ('lvis', 'toy_shapes')


def write_pages(root: Path) -> None:
    folder = root / 'docs/generated'
    folder.mkdir(exist_ok=True)
    (folder / 'results.md').write_text(results(root), encoding='utf-8')
    models_page = folder / 'models.md'
    newest = max(path.stat().st_mtime for path in (root / 'configs').rglob('*.py'))
    # A hundred networks take a minute.
    if not models_page.exists() or models_page.stat().st_mtime < newest:
        models_page.write_text(models(root), encoding='utf-8')


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns a reader can sort."""
    align = ['---'] + ['--:' if _is_number(cell) else '---' for cell in rows[0][1:]]
    lines = [f'| {" | ".join(cells)} |' for cells in (head, align, *rows)]
    return '\n'.join([':::{table}', ':class: sortable', *lines, ':::'])


def _is_number(cell: str) -> bool:
    return cell.replace('.', '').replace(' M', '').isdecimal()


def results(root: Path) -> str:
    """Every result that a metafile has, a table for each task."""
    entries = [
        entry
        for path in sorted((root / 'configs').glob('*/metafile.yml'))
        for entry in yaml.safe_load(path.read_text(encoding='utf-8'))['Models']
    ]
    measured = [entry for entry in entries if 'Results' in entry]
    trained, configs = ({entry['Config'] for entry in some} for some in (measured, entries))
    text = [
        f'{len(trained)} of the {len(configs)} configs that the metafiles name have been trained '
        'here (`-30e` and `-20e` of CIFAR: on a shorter schedule); the others are not run.'
    ]
    for task in sorted({entry['Results']['Task'] for entry in measured}, reverse=True):
        of_task = [entry for entry in measured if entry['Results']['Task'] == task]
        text += [f'## {task.capitalize()}', _results_table(of_task)]
    return '\n\n'.join(text)


def _results_table(entries: list[dict]) -> str:
    metrics = list(dict.fromkeys(name for e in entries for name in e['Results']['Metrics']))
    rows = [
        [
            f'[{entry["Name"]}](../{entry["Config"]})',
            f'[{entry["Results"]["Dataset"]}](../{Path(entry["Config"]).parent}/README.md)',
            *(_score(entry['Results']['Metrics'].get(name)) for name in metrics),
        ]
        for entry in entries
    ]
    return table(['Config', 'Data', *metrics], rows)


def _score(value: float | None) -> str:
    return '' if value is None else f'{value:.2f}'


def models(root: Path) -> str:
    """Every config that ships, built."""
    text = []
    for folder in sorted(path for path in (root / 'configs').iterdir() if path.name[0] != '_'):
        title = (folder / 'README.md').read_text(encoding='utf-8').splitlines()[0]
        text += [
            f'## {title.strip("# ")}',
            f'Data, commands and results: [{folder.name}](../configs/{folder.name}/README.md).',
        ]
        if folder.name in OF_MMDETECTION:
            text.append('Models of MMDetection, which are not built for this page.')
        else:
            rows = [_model(path) for path in sorted(folder.glob('*.py'))]
            text.append(table(['Config', 'Loss', 'Classes', 'Parameters'], rows))
    return '\n\n'.join(text)


def _model(path: Path) -> list[str]:
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = MODELS.build(cfg.model)
    head = model.decode_head if hasattr(model, 'decode_head') else model.head
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return [
        f'[{path.stem}](../configs/{path.parent.name}/{path.name})',
        ', '.join(dict.fromkeys(_losses(cfg.model.to_dict()))),
        str(head.num_classes),
        f'{parameters / 1e6:.2f} M',
    ]


#: What makes no other loss of one.
NOT_SHOWN = ('type', 'loss_weight', 'loss_name', 'class_counts', 'num_classes', 'use_sigmoid')


def _losses(node, inside_loss: bool = False):
    """The losses below a node of a config, as one would write them."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _losses(item, inside_loss)
    elif isinstance(node, dict) and inside_loss and 'type' in node:
        shown = {key: value for key, value in node.items() if key not in NOT_SHOWN}
        if node.get('use_sigmoid'):
            shown['use_sigmoid'] = True
        arguments = ', '.join(f'{key}={value!r}' for key, value in shown.items())
        yield f'`{node["type"]}({arguments})`' if arguments else f'`{node["type"]}`'
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _losses(value, 'loss' in key)
