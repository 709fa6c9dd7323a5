"""Train several configs with several seeds and print their metrics in a table.

python tools/compare_training.py CONFIG ... --metrics accuracy/top1 -o OUT [--cfg-options ...]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', type=Path, nargs='+', metavar='CONFIG', help='config files')
    add('--metrics', nargs='+', required=True, metavar='NAME', help='names of metrics in the log')
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='random seeds (default: 0 1 2)')
    add('-o', '--output', type=Path, required=True, metavar='FOLDER', help='folder for all results')
    add('--jobs', type=natural, default=1, help='training runs in parallel (default: %(default)s)')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='as in tools/train.py')
    args = parser.parse_args()
    return run_command(lambda: _compare(args))


def _compare(args: argparse.Namespace) -> None:
    from dualattn_mm.utils.report import print_table
    from projects.benchmark.training import Variant, compare_trainings, trainings_table

    variants = [Variant(config.stem, config) for config in args.configs]
    rows = compare_trainings(
        variants,
        args.seeds,
        args.metrics,
        args.output,
        args.cfg_options,
        args.jobs,
        Path(__file__).with_name('train.py'),
        say=lambda line: print(line, flush=True),
    )
    print_table(trainings_table(rows, args.metrics))


if __name__ == '__main__':
    sys.exit(main())
