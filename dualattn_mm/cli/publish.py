"""`dualattn publish`: convert a checkpoint to a file for `dualattn colorize --weights`."""

import argparse

from ..utils.remote import local_copy, url_of
from ..utils.terminal import print_line
from .options import CONFIG, output_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add('config', metavar='CONFIG', help=f'{CONFIG}; use the config of the training')
    add(
        'checkpoint',
        metavar='CHECKPOINT',
        help='the checkpoint to convert, or a safetensors file whose settings should change',
    )
    add(
        '-o',
        '--output',
        required=True,
        type=output_path,
        metavar='FILE',
        help='the safetensors file or URL to write',
    )
    add(
        '--saturation',
        type=float,
        help='default factor for the colors, stored with the weights (default: the factor stored '
        'in a safetensors CHECKPOINT, or that of the config, or 1)',
    )
    add('--half', action='store_true', help='store float16, which halves the file size')


def run(args: argparse.Namespace) -> None:
    """Publish the weights and print a summary."""
    from ..apis.pipeline import check_saturation
    from ..apis.weights import publish
    from ..apis.weights_info import weights_info
    from ..utils.configs_dir import find_config

    if args.saturation is not None:
        check_saturation(args.saturation)
    publish(find_config(args.config), args.checkpoint, args.output, args.saturation, args.half)
    with local_copy(args.output) as path:
        info = weights_info(path)
    print_line(
        f'wrote {url_of(args.output)}: {info["network"]}, {info["values"]} values as '
        f'{info["stored as"]}, {info["file size"]}, saturation {info.get("saturation", "1.0")}'
    )
