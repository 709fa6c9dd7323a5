"""`dualattn info`: show the environment, the configs, the cost of a model or a weights file."""

import argparse
from collections.abc import Mapping

from ..utils.arguments import natural
from ..utils.terminal import print_line

EPILOG = 'Without arguments it prints the environment. Please include it in every bug report.'
_BUNDLED = ''  # --weights without a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        'config',
        nargs='?',
        metavar='CONFIG',
        help='print the number of parameters and multiply-accumulates (MACs) of the model in this '
        'config: a config file, or a name that --configs lists',
    )
    what.add_argument('--configs', action='store_true', help='list the bundled configs')
    what.add_argument(
        '--weights',
        nargs='?',
        const=_BUNDLED,
        metavar='FILE',
        help='print the metadata of a weights file (default: the bundled weights)',
    )
    add = parser.add_argument
    add(
        '--shape',
        type=natural,
        nargs=2,
        metavar=('H', 'W'),
        help="size of the input image, or of a LiDAR detector's bird's-eye-view map, for which "
        'MACs are counted (default: the test size of the config)',
    )
    add(
        '--depth',
        type=natural,
        default=2,
        help='how many levels of submodules to list (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> None:
    """Print the requested information."""
    if args.config is not None:
        _print_complexity(args)
    elif args.configs:
        from ..utils.configs_dir import config_names

        for name in config_names():
            print_line(name)
    elif args.weights is not None:
        from ..apis.weights import DEFAULT_WEIGHTS
        from ..apis.weights_info import weights_info

        _print_pairs(weights_info(args.weights or DEFAULT_WEIGHTS))
    else:
        from ..utils.environment import environment

        _print_pairs(environment())


def _print_complexity(args: argparse.Namespace) -> None:
    from ..apis.complexity import complexity_of_config, complexity_table
    from ..engine.configs import load_config
    from ..utils.report import print_table

    parts, shape = complexity_of_config(load_config(args.config), args.shape)
    title = f'{args.config}: at {shape[0]} x {shape[1]}'
    print_table(complexity_table(parts, title, args.depth))


def _print_pairs(pairs: Mapping[str, str]) -> None:
    for name, value in pairs.items():
        print_line(f'{name}: {value}')
