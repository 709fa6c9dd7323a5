"""`dualattn publish`: a checkpoint in, a file for `dualattn colorize --weights` out."""

import argparse

from ..utils.terminal import print_line
from .options import CONFIG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add('config', metavar='CONFIG', help=f'{CONFIG}; the one of the training')
    add(
        'checkpoint',
        metavar='CHECKPOINT',
        help='the checkpoint of the training, or a safetensors file to change',
    )
    add('-o', '--output', required=True, metavar='FILE', help='the safetensors file to write')
    add(
        '--saturation',
        type=float,
        help="factor on the colors that colorizing uses by default (default: the config's, or 1)",
    )
    add('--half', action='store_true', help='store float16: half the size')


def run(args: argparse.Namespace) -> None:
    """Publish, and say what was written."""
    from ..apis.pipeline import check_saturation
    from ..apis.weights import publish
    from ..apis.weights_info import weights_info
    from ..utils.configs_dir import find_config

    if args.saturation is not None:
        check_saturation(args.saturation)
    publish(find_config(args.config), args.checkpoint, args.output, args.saturation, args.half)
    info = weights_info(args.output)
    print_line(
        f'wrote {args.output}: {info["network"]}, {info["values"]} values as '
        f'{info["stored as"]}, {info["file size"]}, saturation {info.get("saturation", "1.0")}'
    )
