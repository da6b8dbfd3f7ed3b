"""``mmseg-recall check``: all that can be said before a training, in a table and in sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..datasets.class_counts import ClassCounts
from ..engine.hooks.replace_loss_hook import MASKS
from ..engine.launch import ONE_CLASS_EACH, load_config
from ..files import InputError, read_checkpoint, written_whole
from ..functional import effective_number_weights, saturated_beta
from .mistakes import Mistake, find_mistakes
from .network import Network, build_network
from .recipe import Recipe, check_target, plan_recipe, source
from .training_set import (
    TrainingSamples,
    build_training_set,
    class_balanced_betas,
    count_training_set,
    label_heads,
    look_at_samples,
)

FEW = 20
"""Classes in fewer training images are few-shot: where ``LongTailAccuracy`` draws that line."""

RARE = 0.1
"""A class with less than this part of an equal share of the pixels is at risk."""

ROWS = 40
"""Rows of the table on a terminal: of more classes those in the middle are left out."""

NEEDED_HOOKS = ('ReplaceLossHook', 'ClassCountsHook')
"""Hooks without which the loss is not there, or does not work."""

NAMES = 8
"""Classes that a sentence names, at most."""


@dataclass(frozen=True)
class ClassRow:
    """What is known of a class before a training.

    Attributes:
        name (str): Its name.
        count (int): Its pixels or samples.
        share (float): The part of all.
        images (int): Training images that contain it.
        width (int, optional): Half of its pixels are in horizontal runs of at most that many
            pixels, after the training pipeline.
        cells (float, optional): The same in cells of the logits.
        risks (list[str]): Why it is at risk.
    """

    name: str
    count: int
    share: float
    images: int
    width: int | None
    cells: float | None
    risks: list[str]


@dataclass
class Report:
    """What :func:`check` found.

    Attributes:
        config (str): The file.
        unit (str): ``'pixels'``, ``'samples'`` or ``'instances'``.
        num_images (int): Training images.
        batch_size (int): Images of a batch, of one process.
        classes (list[ClassRow]): By label.
        sentences (dict[str, list[str]]): What there is to say, by topic.
        way (str, optional): How the config takes its loss, see :class:`Recipe`.
        logits (dict, optional): MiB of one copy of a batch's logits, ``full_resolution_mib`` and
            ``low_resolution_mib``, their ``stride``, and the ``shapes`` of each head's.
        mistakes (list[Mistake], optional): What the checkpoint does not find.
    """

    config: str
    unit: str
    num_images: int
    batch_size: int
    classes: list[ClassRow]
    sentences: dict[str, list[str]] = field(default_factory=dict)
    way: str | None = None
    logits: dict | None = None
    mistakes: list[Mistake] | None = None

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON."""
        with written_whole(path) as unfinished:
            unfinished.write_text(json.dumps(asdict(self), indent=1) + '\n', encoding='utf-8')


def check(
    config: str | Path,
    checkpoint: str | Path | None = None,
    write: str | Path | None = None,
    json_file: str | Path | None = None,
) -> Report:
    """Look at a config and its training set, print what is found, and write what is asked for.

    Args:
        config: A segmentation or classification config.
        checkpoint: A trained model of the config, to run over the validation set.
        write: Where to write a config that trains with the loss that fits.
        json_file: Where to write the report.

    Raises:
        InputError: If the config, its data or the checkpoint cannot be used, or the labels do not
            fit the model.
    """
    console = Console(markup=False, emoji=False, highlight=False)  # names are written as they are
    cfg = load_config(config, scopes=ONE_CLASS_EACH)
    if write:  # before minutes pass
        check_target(cfg, write)
    if checkpoint:
        read_checkpoint(checkpoint)
    dataset = build_training_set(cfg)
    counts = count_training_set(cfg, dataset, folder=cfg.work_dir)
    if not any(counts.counts):
        raise InputError(f'{config}: the training set has no label that is not ignored')
    network, samples, problem = _look(cfg, dataset, counts)
    recipe = plan_recipe(cfg, network.model, bool(counts.unseen)) if network else None
    if write and not recipe:
        raise InputError(f'--write: the model of {config} cannot be built: {problem}')
    rows = class_rows(counts, samples, network.stride if network else None)
    report = Report(str(config), counts.unit, counts.num_images, _batch_size(cfg), rows)
    report.way = recipe.way if recipe else None
    report.logits = _logits(network, report.batch_size) if network and network.logits else None
    report.mistakes = find_mistakes(cfg, checkpoint) if checkpoint else None
    topics = {
        'Data': _about_data(report, counts, samples),
        'Classes at risk': _about_risks(report, samples),
        'Recall in a batch': _about_batches(report),
        'Fixed weights': _about_fixed_weights(counts, cfg),
        'Model': _about_model(recipe, problem, counts.unit),
        'Memory': _about_memory(report, network, recipe),
        'Checkpoint': _about_mistakes(report.mistakes, counts.unit),
    }
    report.sentences = {topic: list(said) for topic, said in topics.items()}
    if write:
        recipe.write(cfg, write)
        report.sentences['Next'] = _next(config, cfg, write)
    if json_file:
        report.save(json_file)
    show(report, console)
    for path in (write, json_file):
        if path:
            console.print(f'Written: {path}', soft_wrap=True)
    return report


def _look(
    cfg: Config, dataset, counts: ClassCounts
) -> tuple[Network | None, TrainingSamples | None, str]:
    """The model, some training samples, and what stops the model from being built."""
    try:
        network = build_network(cfg)
    except Exception as error:  # an operation or a package is missing, an argument is wrong
        return None, None, f'{type(error).__name__}: {error}'.splitlines()[0]
    heads = label_heads(network.model, dataset)
    if counts.unit != 'pixels':
        return network, None, ''
    samples = look_at_samples(dataset, len(counts.classes), heads)
    network.find_logits(_padded(network.model, samples.shape))
    return network, samples, ''


def _padded(model, shape: tuple[int, int]) -> tuple[int, int]:
    """The size that MMSegmentation's preprocessor pads training images to."""
    size = getattr(model.data_preprocessor, 'size', None) or (0, 0)
    return tuple(max(pair) for pair in zip(shape, size))


def _batch_size(cfg: Config) -> int:
    loader = cfg.train_dataloader
    return loader.get('batch_size') or (loader.get('batch_sampler') or {}).get('batch_size', 1)


def class_rows(
    counts: ClassCounts, samples: TrainingSamples | None, stride: float | None
) -> list[ClassRow]:
    """What is known of each class, and why it is at risk."""
    total = max(1, sum(counts.counts))
    widths = samples.widths if samples else [None] * len(counts.classes)
    rows = []
    for name, count, images, width in zip(counts.classes, counts.counts, counts.images, widths):
        share = count / total
        cells = width / stride if width and stride else None
        risks = []
        if counts.unit == 'pixels' and share < RARE / len(counts.classes):
            risks.append(f'{_percent(share)} of the pixels')
        if images < FEW:
            in_images = f'{images:,} image{"" if images == 1 else "s"}'
            risks.append(f'in {in_images}' if counts.unit == 'pixels' else in_images)
        if cells is not None and cells < 1:
            risks.append(f'{width} px wide, the stride is {stride:.3g}')
        rows.append(ClassRow(name, count, share, images, width, cells, risks))
    return rows


def _logits(network: Network, batch_size: int) -> dict:
    full, low = (
        sum(one.megabytes(batch_size, upsampled) for one in network.logits)
        for upsampled in (True, False)
    )
    shapes = [
        dict(head=one.head, shape=one.shape, upsampled_to=one.upsampled_to)
        for one in network.logits
    ]
    return dict(
        stride=network.stride, full_resolution_mib=full, low_resolution_mib=low, shapes=shapes
    )


# --- sentences ----------------------------------------------------------------------------------


def _about_data(
    report: Report, counts: ClassCounts, samples: TrainingSamples | None
) -> Iterator[str]:
    seen = [row for row in report.classes if row.count]
    most, least = (choose(seen, key=lambda row: row.count) for choose in (max, min))
    yield (
        f'{_name(most)} has {_percent(most.share)} of the {report.unit}, {_name(least)} '
        f'{_percent(least.share)}: {_times(most.count / least.count)} fewer.'
    )
    if counts.unseen:
        yield (
            f'Never in the training set: {_list(counts.unseen)}. No loss can teach these classes; '
            'losses with class_counts need min_count=1 then.'
        )
    if samples and samples.ignored:
        yield (
            f'{samples.ignored} of {samples.number} training samples have ignored labels alone: '
            'nothing can be learned from them. Look at the crop and at the label files.'
        )


def _about_risks(report: Report, samples: TrainingSamples | None) -> Iterator[str]:
    at_risk = sorted((row for row in report.classes if row.risks), key=lambda row: row.count)
    if at_risk:
        yield f'{len(at_risk):,} of {len(report.classes):,} classes:'
    for row in at_risk[:NAMES]:
        yield f'{_name(row)}: {", ".join(row.risks)}.'
    if len(at_risk) > NAMES:
        yield f'And {len(at_risk) - NAMES:,} more, in red above.'
    rules = [f'in fewer than {FEW} images']
    if report.unit == 'pixels':
        rules.insert(0, 'less than a tenth of an equal share of the pixels')
    narrow = any(row.cells is not None for row in report.classes)
    if narrow:
        rules.append('narrower than a cell of the logits')
    yield f'{"" if at_risk else "None. "}At risk means: {", or ".join(rules)}.'
    if narrow:
        yield (
            'Width: half of the pixels of the class are in horizontal runs of at most that length, '
            f'in {samples.number} training samples after the pipeline.'
        )
    if any(row.cells is not None and row.cells < 1 for row in at_risk):
        yield (
            'A loss brings back little of what is far narrower than a cell: on CamVid RecallLoss '
            'found cyclists (half a cell), but no poles (an eighth). Larger images help, or a '
            'network with a finer output.'
        )


def _about_batches(report: Report) -> Iterator[str]:
    segmentation = report.unit == 'pixels'
    seen = [row for row in report.classes if row.images]
    rarest = min(seen, key=lambda row: row.images)
    part = rarest.images / report.num_images
    batch = report.batch_size
    none = max(0.0, 1 - part) ** batch
    without = 'hardly any batch has' if none < 0.001 else f'{_percent(none)} of the batches have'
    crops = ', before crops' if segmentation else ''
    yield (
        f'{_name(rarest)} is in {rarest.images:,} of {report.num_images:,} images: a batch of '
        f'{batch} has {_number(batch * part)} of them on average{crops}, and {without} none. '
        '(With several GPUs count their batches together.)'
    )
    if none < 0.05:
        yield (
            'Every class is in nearly every batch, so RecallLoss can take its recall there: '
            'alpha=None, the default.'
        )
    elif segmentation:
        yield (
            'RecallLoss, with alpha=None, weighs the class by its recall in those batches that '
            'have it, which jumps from image to image where there are few. alpha=0.1 averages it '
            'over about the last ten such batches.'
        )
    else:
        many = len(report.classes) >= 1000
        alpha = 'alpha=0.01 or 0.001' if many else 'alpha=0.1'
        yield (
            f'The recall of a batch is too coarse for that: give RecallLoss {alpha}, an average '
            f'over about the last {"100 to 1000" if many else "ten"} batches that have the class.'
        )


def _about_fixed_weights(counts: ClassCounts, cfg: Config) -> Iterator[str]:
    seen = torch.tensor([count for count in counts.counts if count])
    for beta in class_balanced_betas(cfg):
        message = saturated_beta(seen, beta)
        if message:
            yield f'ClassBalancedLoss: {message}.'
        else:
            weights = effective_number_weights(seen, beta)
            yield (
                f'ClassBalancedLoss with beta={beta} weighs the rarest class '
                f'{_times(float(weights.max() / weights.min()))} more than the most frequent.'
            )


def _about_model(recipe: Recipe | None, problem: str, unit: str) -> Iterator[str]:
    if recipe is None:
        yield f'The model cannot be built here: {problem}'
        return
    name = recipe.loss['type']
    if recipe.way == 'already':
        yield 'It trains with a loss of this package already.'
    elif recipe.way != 'neither':
        yield {
            'lines': f'{name} goes in by these lines:',
            'hook': f'A list of heads or losses is no place for a line: a hook puts {name} in.',
        }[recipe.way]
        yield "  custom_imports = dict(imports='mmseg_recall', allow_failed_imports=False)"
        if recipe.lines:
            yield f'  model = {source(recipe.model)}'
        needed = [hook for hook in recipe.hooks if hook['type'] in NEEDED_HOOKS]
        if needed:
            yield f'  custom_hooks = [{", ".join(map(source, needed))}]'
    else:
        yield f'Neither a line nor ReplaceLossHook puts {name} into this model.'
        if any(MASKS in reason for reason in recipe.stays.values()):
            yield (
                'It predicts masks and a class for each mask, so it has no cross entropy over '
                'pixels, whose place the loss would take. What the check says of the data holds '
                'all the same.'
            )
    for place, reason in recipe.stays.items():
        yield f'{place} stays: {reason}.'
    if unit == 'samples' and name == 'BalancedSoftmaxLoss' and recipe.way in ('lines', 'hook'):
        yield (
            'It suits one classifier that is trained in one stage. RecallLoss is for the features, '
            'on which SDNHead trains a second classifier.'
        )


def _about_memory(report: Report, network: Network | None, recipe: Recipe | None) -> Iterator[str]:
    if not network or report.unit != 'pixels':
        return
    if not report.logits:
        if recipe.way != 'neither':
            yield f'The shapes of the logits could not be found. {network.why_no_logits}'.strip()
        return
    full, low = (report.logits[f'{kind}_resolution_mib'] for kind in ('full', 'low'))
    yield (
        f'The logits of a batch of {report.batch_size} take {_number(full)} MiB upsampled to the '
        f'labels, {_number(low)} MiB as the network makes them; a loss makes several copies.'
    )
    yield {
        'all': 'LowResolutionLossHook keeps all heads from upsampling them.',
        'some': (
            "LowResolutionLossHook(unsupported='stock') keeps some of the heads from upsampling "
            'them.'
        ),
        'none': 'LowResolutionLossHook does not serve these heads.',
    }[recipe.low_resolution]


def _about_mistakes(mistakes: list[Mistake] | None, unit: str) -> Iterator[str]:
    if mistakes == []:
        yield 'Of every class at least 10 % is found.'
    for mistake in mistakes or ():
        never = 'never predicted' if not mistake.predicted else f'{_percent(mistake.recall)} found'
        becomes = [f'{_percent(share)} {name}' for name, share in mistake.becomes.items()]
        yield (
            f'{_name(mistake)}: {never}. Its {mistake.count:,} {unit} become {_list(becomes[:3])}.'
        )


def _next(config, cfg: Config, write) -> list[str]:
    return [
        f'  mmseg-recall train {config}',
        f'  mmseg-recall train {write}',
        f'  mmseg-recall compare --group baseline {cfg.work_dir} '
        f'--group {Path(write).stem} work_dirs/{Path(write).stem}',
    ]


# --- words --------------------------------------------------------------------------------------


def _name(of: ClassRow | Mistake) -> str:
    return f'class {of.name}' if of.name.isdigit() else of.name


def _list(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    return ', '.join(names[:NAMES]) + (f', and {more:,} more' if more > 0 else '')


def _percent(share: float) -> str:
    return f'{100 * share:.2g} %' if share < 0.1 else f'{100 * share:.0f} %'


def _number(value: float) -> str:
    return f'{value:,.0f}' if value >= 10 else f'{value:.2g}'


def _times(ratio: float) -> str:
    return f'{_number(ratio)} times'


# --- terminal -----------------------------------------------------------------------------------


def show(report: Report, console: Console) -> None:
    """Print the long tail as a table with bars, and the sentences."""
    console.print(_table(report))
    for topic, sentences in report.sentences.items():
        if sentences:
            console.print(Text(f'\n{topic}', 'bold'))
        for sentence in sentences:
            if sentence.startswith(' '):  # code: to be copied, so never broken
                console.print(sentence, soft_wrap=True)
            else:
                console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))


def _table(report: Report) -> Table:
    """The classes, the most frequent first, those at risk in colour."""
    title = f'{report.num_images:,} training images, {len(report.classes):,} classes'
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column('class', overflow='fold')
    table.add_column('')
    columns = [report.unit, 'share', *(['images'] if report.unit == 'pixels' else [])]
    sized = any(row.width for row in report.classes)
    for column in columns + (['width', 'cells'] if sized else []):
        table.add_column(column, justify='right', no_wrap=True)
    rows = sorted(report.classes, key=lambda row: -row.count)
    left_out = len(rows) - ROWS
    for row in rows[: ROWS // 2] if left_out > 0 else rows:
        _add(table, row, report.unit, sized, rows[0].count)
    if left_out > 0:
        table.add_row(f'{left_out:,} more')
        for row in rows[-ROWS // 2 :]:
            _add(table, row, report.unit, sized, rows[0].count)
    return table


def _add(table: Table, row: ClassRow, unit: str, sized: bool, most: int) -> None:
    bar = Bar(max(1, most), 0, row.count, width=16, color='red' if row.risks else 'blue')
    cells = [f'{row.count:,}', _percent(row.share)]
    if unit == 'pixels':
        cells.append(f'{row.images:,}')
    if sized:
        cells.append('-' if row.width is None else f'{row.width} px')
        cells.append('-' if row.cells is None else f'{row.cells:.2g}')
    table.add_row(Text(row.name), bar, *cells, style='red' if row.risks else None)
