"""One HTML page that needs no other file: tables, and figures inside of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment

from ..evaluation.comparison import Comparison, interval
from ..files import written_whole

KINDS = {'.png': 'image/png', '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.svg': 'image/svg+xml'}

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
th:first-child, td:first-child, .text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.clear { font-weight: 600; } .unclear { color: #666; }
.note { max-width: 48rem; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="note">{{ comparison.note }}</p>

<h2>Runs</h2>
<div class="scroll"><table>
<tr><th>run</th><th class="text">folder</th><th class="text">checkpoint</th></tr>
{% for run, folder, checkpoint in sources -%}
<tr><td>{{ run }}</td><td class="text">{{ folder }}</td><td class="text">{{ checkpoint }}</td></tr>
{% endfor -%}
</table></div>

{% for heading, first, rows in tables %}
<h2>{{ heading }}</h2>
<div class="scroll"><table>
<tr><th>{{ first }}</th><th>{{ comparison.runs[0] }}</th>
{%- for run in comparison.runs[1:] %}<th>{{ run }}</th><th>{{ run }} - {{ comparison.runs[0] }}</th>
{%- endfor %}</tr>
{% for row in rows -%}
<tr><td>{{ row.class_name or row.score }}</td><td>{{ row.texts[0] }}</td>
{%- for difference in row.differences %}<td>{{ row.texts[loop.index] }}</td>
<td class="{{ 'clear' if difference.clear else 'unclear' }}">{{ interval(difference) }}</td>
{%- endfor %}</tr>
{% endfor -%}
</table></div>
{% endfor %}

{% for section in sections %}
<h2>{{ section.title }}</h2>
<p class="note">{{ section.text }}</p>
<div class="{{ 'side' if section.figures|length > 1 else '' }}">
{% for name, figure in section.figures.items() -%}
<figure>{% if section.figures|length > 1 %}<figcaption>{{ name }}</figcaption>{% endif %}
<img alt="{{ section.title }}: {{ name }}" src="{{ data_uri(figure) }}"></figure>
{% endfor -%}
</div>
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True)
class Section:
    """Figures of one kind, side by side.

    Attributes:
        title (str): What they show.
        text (str): How to read them.
        figures (Mapping[str, Path]): Their image files, by what tells them apart.
    """

    title: str
    text: str
    figures: Mapping[str, Path]


def write_page(
    comparison: Comparison,
    sources: Sequence[tuple[str, str, str]],
    sections: Sequence[Section],
    path: str | Path,
) -> Path:
    """Write a comparison of runs as one page without any link to something outside of it.

    Args:
        comparison (Comparison): The tables.
        sources (Sequence[tuple[str, str, str]]): Run, folder and checkpoint of each training.
        sections (Sequence[Section]): The figures.
        path (str or Path): ``.html`` file to write.

    Returns:
        Path: The file.

    Raises:
        ValueError: If a figure is neither PNG, JPEG nor SVG.

    Example:
        >>> import tempfile
        >>> from mmseg_recall.evaluation import ImageTotals, compare
        >>> run = ImageTotals.of_labels(['robin', 'ibis'], [0, 1], [0, 0])
        >>> page = Path(tempfile.mkdtemp()) / 'index.html'
        >>> write_page(compare({'CE': run}), [('CE', 'runs/ce', 'last.pth')], [], page).name
        'index.html'
    """
    runs = comparison.runs
    title = f'{runs[0]} against {", ".join(runs[1:])}' if len(runs) > 1 else runs[0]
    page = Environment(autoescape=True).from_string(TEMPLATE)
    text = page.render(
        title=title,
        comparison=comparison,
        sources=sources,
        tables=_tables(comparison),
        sections=sections,
        interval=interval,
        data_uri=data_uri,
    )
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')
    return Path(path)


def data_uri(figure: Path) -> str:
    """An image file as an address that holds it.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'dot.png'
        >>> _ = file.write_bytes(b'dot')
        >>> data_uri(file)
        'data:image/png;base64,ZG90'
    """
    kind = KINDS.get(Path(figure).suffix)
    if kind is None:
        raise ValueError(f'figures must be {", ".join(KINDS)} files, but got {str(figure)!r}')
    return f'data:{kind};base64,{base64.b64encode(Path(figure).read_bytes()).decode()}'


def _tables(comparison: Comparison) -> list[tuple]:
    """Heading, name of the first column, and rows of each table."""
    tables = []
    for of_class, rows in groupby(comparison.rows, key=lambda row: row.class_name and row.score):
        heading = f'Class by class: {of_class}' if of_class else 'Over the classes'
        tables.append((heading, 'class' if of_class else 'score', list(rows)))
    return tables
