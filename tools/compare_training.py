"""Train several configs with several seeds, and print their metrics in one table.

python tools/compare_training.py CONFIG ... --metrics accuracy/top1 -o OUT [--cfg-options ...]
python tools/compare_training.py CONFIG --tables III IV --metrics PSNR -o OUT [--cfg-options ...]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.command import run_command


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', type=Path, nargs='+', metavar='CONFIG', help='config files')
    add(
        '--tables',
        nargs='+',
        metavar='NAME',
        help='train CONFIG, one, with the options of each row of these tables of the paper',
    )
    add('--metrics', nargs='+', required=True, metavar='NAME', help='as the log names them')
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='default: 0 1 2')
    add('-o', '--output', type=Path, required=True, metavar='FOLDER', help='for all that comes out')
    add('--jobs', type=int, default=1, help='trainings at a time (default: %(default)s)')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='as of tools/train.py')
    args = parser.parse_args()
    if args.tables and len(args.configs) > 1:
        parser.error('--tables takes one CONFIG')
    return run_command(lambda: _compare(args))


def _compare(args: argparse.Namespace) -> None:
    from dualattn_mm.reproduction.tables import choose_tables, read_tables
    from dualattn_mm.reproduction.variants import variants_of
    from dualattn_mm.utils.configs_dir import configs_dir
    from dualattn_mm.utils.report import print_table
    from projects.benchmark.training import Variant, compare_trainings, trainings_table

    if args.tables:
        tables = read_tables(configs_dir() / 'reproduction.yml')
        variants = variants_of(args.configs[0], choose_tables(tables, args.tables))
    else:
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
