"""The options that tools/train.py and tools/test.py share; OpenMMLab's."""

import argparse
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


class CfgOptions(DictAction):
    def __call__(self, parser: argparse.ArgumentParser, namespace, values, option_string=None):
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError):
            parser.error(f'{option_string} takes KEY=VALUE ..., not {" ".join(values)}')


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with `config` and the common options."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file')
    add('--work-dir', help="where logs and checkpoints go (the config's, or work_dirs/NAME)")
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='replace values of the config, for example train_dataloader.batch_size=4; lists are '
        'key="[a,b]" or key=a,b',
    )
    add(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes; tools/dist_*.sh and tools/slurm_*.sh set it',
    )
    # Some launchers pass it; what counts is the environment variable.
    add('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The arguments by name, as `train` and `test` take them."""
    args = vars(parser.parse_args(argv))
    del args['local_rank']
    return args
