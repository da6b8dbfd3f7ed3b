"""The console command ``mmseg-recall``: each subcommand is a script of ``tools/``.

A module beside the package, since importing that one takes seconds, for which ``--help`` does not
wait.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

#: Of each subcommand its script, and what it does.
COMMANDS = {
    'check': ('analysis_tools/check.py', 'look at a config and its data before any training'),
    'counts': ('analysis_tools/class_counts.py', 'count the classes of a training set'),
    'compare': ('analysis_tools/compare_runs.py', 'compare trainings, with confidence intervals'),
    'train': ('train.py', 'train a model'),
    'test': ('test.py', 'test a model'),
}


def main() -> None:
    """Run the script that the first argument names, with the others."""
    name = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if name in ('-h', '--help'):
        print(_usage())
    elif name in COMMANDS:
        script = _tools() / COMMANDS[name][0]
        sys.argv = [f'mmseg-recall {name}', *sys.argv[2:]]
        sys.path.insert(0, str(script.parent))  # as where Python starts a script
        importlib.import_module(script.stem).main()
    else:
        print(f'mmseg-recall: there is no command {name!r}\n\n{_usage()}', file=sys.stderr)
        sys.exit(2)


def _usage() -> str:
    commands = [f'  {name:9}{about}' for name, (_, about) in COMMANDS.items()]
    head = 'usage: mmseg-recall COMMAND ...\n\ncommands:'
    return '\n'.join([head, *commands, '\n`mmseg-recall COMMAND --help` shows its arguments.'])


def _tools() -> Path:
    """Where a wheel has the scripts, or a checkout."""
    package = Path(importlib.util.find_spec('mmseg_recall').origin).parent  # not imported
    installed = package / '.mim/tools'
    return installed if installed.is_dir() else package.parent / 'tools'


if __name__ == '__main__':
    main()
