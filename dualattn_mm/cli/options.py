"""The options that several commands share. Those of training and testing are OpenMMLab's."""

import argparse
from pathlib import Path
from typing import Any

from ..utils.remote import local_name

CONFIG = (
    'config file, or the name of a bundled config such as mmagic/color_dualattn_mini '
    "('dualattn info --configs' lists them)"
)


class CfgOptions(argparse.Action):
    """Parse KEY=VALUE pairs with mmengine's DictAction, which is imported late: it loads torch."""

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
            parser.error(f'{option_string} expects KEY=VALUE pairs, got {" ".join(values)}')


def output_path(text: str) -> Path:
    """Parse the place of a result, which can be a URL."""
    return Path(local_name(text))


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the colorizer and its device."""
    add = parser.add_argument
    add(
        '--weights',
        metavar='FILE',
        help='safetensors file, or an mmengine checkpoint together with --config '
        '(default: the bundled weights)',
    )
    add(
        '--config',
        metavar='CONFIG',
        help='config that describes the network of --weights: a config file, or the name of a '
        "bundled config (see 'dualattn info --configs'). A config file is Python code that is "
        'executed, so use only files that you trust',
    )
    add(
        '--device',
        default='auto',
        help='auto, cpu, cuda, cuda:N or mps; auto uses a CUDA GPU if there is one '
        '(default: %(default)s)',
    )
    add(
        '--size',
        type=int,
        help='side in pixels of the square at which color is predicted, at least 32 (default: '
        'the size stored with the weights)',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `config` and the options shared by training and testing."""
    add = parser.add_argument
    add('config', metavar='CONFIG', help=CONFIG)
    add(
        '--work-dir',
        metavar='FOLDER',
        help='folder for logs and checkpoints (default: work_dir of the config, or work_dirs/NAME)',
    )
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='override values of the config, for example train_dataloader.batch_size=4; write '
        'lists as key="[a,b]" or key=a,b',
    )
    add(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher; tools/dist_*.sh and tools/slurm_*.sh set it (default: %(default)s)',
    )
    # Some launchers pass this option. Only the environment variable is used.
    add('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def run_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments for `engine.run.train` and `engine.run.evaluate`."""
    given = dict(vars(args))
    del given['local_rank']
    return given
