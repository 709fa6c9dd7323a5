"""The command `dualattn`. It imports nothing heavy: `--help` answers at once."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..utils.command import WRONG_USE, run_command
from ..utils.terminal import printable
from ..version import __version__

# Each is a module of this package with `add_arguments(parser)` and `run(args)`, which returns the
# exit status (None is 0) and imports what it needs when it is called.
COMMANDS = {
    'colorize': 'Colorize photos.',
    'train': 'Train what a config describes.',
    'test': 'Test a checkpoint as its config describes.',
    'publish': "Turn a checkpoint of the colorizer into the file that 'colorize' takes.",
    'info': 'Show versions, configs, weights, or the size and cost of a model.',
}


class Parser(argparse.ArgumentParser):
    """Says an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f'error: {printable(message)} (see {self.prog} --help)\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None takes those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted, 141 when the reader of
        the output is gone.
    """
    return run_command(lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def _run(argv: list[str]) -> int | None:
    try:
        if argv[:1] and argv[0] in COMMANDS:
            return _run_subcommand(*argv)
        _top_parser().parse_args(argv)
    except SystemExit as end:  # of argparse, after --help or an error
        return int(end.code or 0)
    return None


def _run_subcommand(name: str, *argv: str) -> int | None:
    command = importlib.import_module(f'{__package__}.{name}')
    parser = Parser(
        prog=f'dualattn {name}', description=COMMANDS[name], epilog=getattr(command, 'EPILOG', None)
    )
    command.add_arguments(parser)
    return command.run(parser.parse_args(argv))


def _top_parser() -> Parser:
    parser = Parser(
        prog='dualattn',
        description='Colorize photos, and train, test and publish the networks of dualattn_mm.',
        epilog="'dualattn COMMAND --help' shows the options of a command.",
    )
    parser.add_argument('--version', action='version', version=f'dualattn_mm {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser
