"""`dualattn export`: write a network as ONNX or as a program of torch.export."""

import argparse

from ..utils.arguments import natural
from ..utils.remote import check_place, is_remote, url_of
from ..utils.terminal import print_line
from .options import output_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Write a colorizer or a DualAttention backbone as a file for other programs. It takes any '
        'batch size. The file is written only if its outputs match those of the network.'
    )
    add = parser.add_argument
    add(
        'weights',
        nargs='?',
        metavar='WEIGHTS',
        help='safetensors file, or an mmengine checkpoint together with --config (default: the '
        'bundled weights)',
    )
    add(
        '-o',
        '--output',
        required=True,
        type=output_path,
        metavar='FILE',
        help="the file or URL to write: NAME.onnx (needs pip install 'dualattn_mm[export]'), or "
        'NAME.pt2 for torch.export.load',
    )
    add(
        '--config',
        metavar='CONFIG',
        help='config of WEIGHTS: a config file, or the name of a bundled config. With the config '
        'of a detector or classifier, its DualAttention backbone is exported. A config file is '
        'Python code that is executed, so use only files that you trust',
    )
    add(
        '--size',
        type=natural,
        nargs='+',
        metavar='N',
        help='size of the input in pixels: the side of the square for a colorizer (default: the '
        'size stored with the weights), H W or one side for a backbone (default: 224)',
    )
    add(
        '--dynamic',
        action='store_true',
        help='make an ONNX file of a backbone that accepts any height and width above 32 pixels',
    )


def run(args: argparse.Namespace) -> None:
    """Export the network and print a summary."""
    from ..apis.export import backbone, check_output, check_size, colorizer, export
    from ..engine.configs import read_config
    from ..utils.configs_dir import find_config
    from ..utils.errors import UserError

    check_output(args.output, args.dynamic)
    if is_remote(args.output):
        check_place(args.output.parent)
    sides = args.size or []
    if sides:
        check_size(sides)
    cfg = None if args.config is None else read_config(args.config)
    of_backbone = cfg is not None and 'generator' not in (cfg.get('model') or {})
    if len(sides) > 1 + of_backbone:
        raise UserError('--size takes one side for a colorizer, and H W for a backbone')
    if args.dynamic and sides:
        raise UserError('--dynamic accepts all sizes: leave out --size')
    if args.dynamic and not of_backbone:
        raise UserError('--dynamic is for backbones: a colorizer works best at its own size')
    if cfg is None or not of_backbone:
        what = colorizer(args.weights, args.config and find_config(args.config), *sides)
    elif args.weights is None:
        raise UserError(
            f'name the weights to export: {args.config} describes another network than '
            'the bundled ones'
        )
    else:
        height, width = (sides or [224]) * 2 if len(sides) < 2 else sides
        what = backbone(cfg, args.weights, (height, width), args.config, args.dynamic)
    written = export(what, args.output)
    size = 'any size' if what.dynamic else f'{what.shape[1]} x {what.shape[2]}'
    print_line(
        f'wrote {url_of(args.output)}: {what.metadata["network"]} at {size}, '
        f'{written.size / 1e6:.1f} MB, deviation {written.deviation:.0e}'
    )
