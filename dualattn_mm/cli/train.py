"""`dualattn train`: train a model from a config of any of the four libraries."""

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
        help='resume from this checkpoint; without CHECKPOINT, from the latest one in the work_dir',
    )
    add('--amp', action='store_true', help='use automatic mixed precision (needs a GPU)')
    add(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size, according to auto_scale_lr in the '
        'config',
    )


def run(args: argparse.Namespace) -> None:
    """Run the training."""
    from ..engine.run import train

    train(**run_arguments(args))
