"""`dualattn train`: what a config of any of the four libraries describes."""

import argparse

from .options import add_run_arguments, run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_arguments(parser)
    add = parser.add_argument
    add(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint; without a name from the last one of the work folder',
    )
    add('--amp', action='store_true', help='automatic mixed precision (needs a GPU)')
    add(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate with the batch size, by the config's auto_scale_lr",
    )


def run(args: argparse.Namespace) -> None:
    """Train."""
    from ..engine.run import train

    train(**run_arguments(args))
