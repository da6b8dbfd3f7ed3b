"""The site: ``make docs``. The repository is its source, so that links work on GitHub and here."""

import sys
from importlib.metadata import metadata
from pathlib import Path

import mathjax

sys.path.append(str(Path(__file__).parent))
import generate

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = metadata('mmseg-recall')['Home-page']

project = 'mmseg-recall'
author = 'The mmseg-recall authors'
release = version = metadata('mmseg-recall')['Version']
copyright = author

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'sphinx.ext.napoleon']
include_patterns = [
    'docs/*.md',
    'docs/api/*.md',
    'configs/*/README.md',
    'projects/*/README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
]
exclude_patterns = ['.venv*', '.git', 'build', 'work_dirs', 'docs/generated']
root_doc = 'docs/index'

myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3
# A shell prompt or a log is not an error of the lexer.
suppress_warnings = ['misc.highlighting_failure']

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the text has them, with ranges and shapes
autodoc_inherit_docstrings = False
toc_object_entries_show_parents = 'hide'
napoleon_use_rtype = False
napoleon_custom_sections = ['Reference']

pygments_dark_style = 'github-dark'
html_theme = 'furo'
html_title = f'mmseg-recall {version}'
html_static_path = ['_static', str(Path(*mathjax.__path__, 'static/mathjax/es5/tex-svg.js'))]
html_extra_path = ['_root']
html_css_files = ['site.css']
html_js_files = ['site.js']
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
# One file of MathJax, part of the site. Its menu would ask the network for others.
mathjax_path = 'tex-svg.js'
mathjax3_config = dict(options=dict(enableMenu=False))
html_theme_options = dict(source_repository=REPOSITORY, source_branch='main', source_directory='')


def without_module(app, what, name, obj, options, lines):
    """What a package's docstring says is for readers of the code; each page has its own opening."""
    if what == 'module':
        lines.clear()


def without_fields(app, what, name, obj, skip, options):
    """A named tuple's fields, which only say that they are fields."""
    return True if (obj.__doc__ or '').startswith('Alias for field') else None


def setup(app):
    app.connect('builder-inited', lambda app: generate.write_pages(ROOT))
    app.connect('autodoc-process-docstring', without_module)
    app.connect('autodoc-skip-member', without_fields)
