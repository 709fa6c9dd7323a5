"""Options that several commands share; those of OpenMMLab's tools."""

import argparse
from typing import Any

CONFIG = (
    'config file, or the name of a config that comes with the package, such as '
    "mmagic/color_dualattn_mini ('dualattn info --configs' lists them)"
)


class CfgOptions(argparse.Action):
    """Reads KEY=VALUE ... into a dict, as mmengine's DictAction does, which brings in PyTorch."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, values, option_string)
        except (ValueError, AssertionError):
            parser.error(f'{option_string} takes KEY=VALUE ..., not {" ".join(values)}')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `config` and the options that training and testing share."""
    add = parser.add_argument
    add('config', metavar='CONFIG', help=CONFIG)
    add(
        '--work-dir',
        metavar='FOLDER',
        help="where logs and checkpoints go (default: the config's work_dir, or work_dirs/NAME)",
    )
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


def run_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments by name, as `engine.run.train` and `evaluate` take them."""
    given = dict(vars(args))
    del given['local_rank']
    return given
