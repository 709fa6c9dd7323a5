"""`dualattn test`: a checkpoint, as its config describes."""

import argparse

from .options import add_run_arguments, run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Test a checkpoint as its config describes, and print the metrics. A colorizer is measured '
        'on the colors that it predicts: at saturation 1, whatever is stored with its weights.'
    )
    add_run_arguments(parser)
    add = parser.add_argument
    add(
        'checkpoint',
        metavar='CHECKPOINT',
        help='checkpoint file or URL; for the colorizer also a safetensors file of its generator',
    )
    add('--out', metavar='FILE', help='write the metrics as JSON')
    add('--show-dir', metavar='FOLDER', help='save the predictions as PNG (colorizer)')


def run(args: argparse.Namespace) -> None:
    """Test."""
    from ..engine.run import evaluate

    evaluate(**run_arguments(args))
