"""The command `dualattn`. It imports nothing heavy, so `--help` answers at once."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..utils.command import WRONG_USE, run_command
from ..utils.lean_import import import_mmengine_for_inference
from ..utils.terminal import printable
from ..version import __version__

# Each command is a module of this package with `add_arguments(parser)` and `run(args)`. `run`
# returns the exit status (None means 0) and imports what it needs when it is called.
COMMANDS = {
    'colorize': 'Colorize photos and videos.',
    'serve': 'Serve a page for colorizing in the browser, and a REST interface.',
    'train': 'Train a model from a config.',
    'test': 'Test a checkpoint and print its metrics.',
    'publish': "Convert a colorizer checkpoint to a weights file for 'dualattn colorize'.",
    'export': 'Write a network as ONNX, or as a program of torch.export.',
    'info': 'Show versions, bundled configs, weights, or the size and cost of a model.',
}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f'error: {printable(message)} (see {self.prog} --help)\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None uses `sys.argv`, for a process that ends with the command.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for wrong usage, 130 if interrupted, 141
        if the output pipe was closed.
    """
    own_process = argv is None
    return run_command(lambda: _run(sys.argv[1:] if argv is None else list(argv), own_process))


def _run(argv: list[str], own_process: bool) -> int | None:
    try:
        if argv[:1] and argv[0] in COMMANDS:
            return _run_subcommand(own_process, *argv)
        _top_parser().parse_args(argv)
    except SystemExit as end:  # argparse exits after --help or an error
        return int(end.code or 0)
    return None


def _run_subcommand(own_process: bool, name: str, *argv: str) -> int | None:
    command = importlib.import_module(f'{__package__}.{name}')
    parser = Parser(
        prog=f'dualattn {name}', description=COMMANDS[name], epilog=getattr(command, 'EPILOG', None)
    )
    command.add_arguments(parser)
    args = parser.parse_args(argv)
    if own_process and name == 'colorize':
        import_mmengine_for_inference()
    return command.run(args)


def _top_parser() -> Parser:
    parser = Parser(
        prog='dualattn',
        description='Colorize photos and videos, and train, test and publish the networks of '
        'dualattn_mm.',
        epilog="'dualattn COMMAND --help' shows the options of a command.",
    )
    parser.add_argument('--version', action='version', version=f'dualattn_mm {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser
