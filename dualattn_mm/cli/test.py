"""`dualattn test`: test a checkpoint with its config."""

import argparse

from .options import add_run_arguments, run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Test a checkpoint with its config and print the metrics. A colorizer is always tested at '
        'saturation 1, whatever factor is stored with its weights.'
    )
    add_run_arguments(parser)
    add = parser.add_argument
    add(
        'checkpoint',
        metavar='CHECKPOINT',
        help='checkpoint file or URL; a colorizer also accepts a safetensors file',
    )
    add('--out', metavar='FILE', help='write the metrics to this JSON file')
    add('--show-dir', metavar='FOLDER', help='save the predictions as PNG files (colorizer only)')


def run(args: argparse.Namespace) -> None:
    """Run the test."""
    from ..engine.run import evaluate

    evaluate(**run_arguments(args))
