"""Count a config's parameters and multiply-accumulates: python tools/get_flops.py CONFIG."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.engine.run import load_config
from dualattn_mm.utils.command import run_command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file')
    add(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the image, or of the map of a LiDAR detector (what the config tests at)',
    )
    add('--depth', type=int, default=2, help='levels of modules to list (default: %(default)s)')
    args = parser.parse_args()
    return run_command(lambda: _print(args))


def _print(args: argparse.Namespace) -> None:
    from dualattn_mm.apis.complexity import complexity_of_config, complexity_table
    from dualattn_mm.utils.report import print_table

    parts, shape = complexity_of_config(load_config(args.config), args.shape)
    title = f'{args.config}: at {shape[0]} x {shape[1]}'
    print_table(complexity_table(parts, title, args.depth))


if __name__ == '__main__':
    sys.exit(main())
