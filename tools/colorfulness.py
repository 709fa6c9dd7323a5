"""Mean colourfulness (CF) of a folder's pictures: python tools/colorfulness.py FOLDER."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.evaluation import VARIANTS
from dualattn_mm.evaluation.folders import colorfulness_of_folder
from dualattn_mm.utils.command import run_command

SOME_FAILED = 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit status: 0 all were read, 1 some could not be (they are named), 2 wrong use.',
    )
    add = parser.add_argument
    add('folder', type=Path, metavar='FOLDER', help='searched with its subfolders')
    add(
        '--variant',
        choices=VARIANTS,
        default='signed',
        help='signed: as published, and what the figures of the paper are; absolute: with absolute '
        'differences, as in the scripts of DDColor and ColorFormer; colorformer: absolute, leaving '
        'out pictures of at most 1 (default: %(default)s)',
    )
    add('--size', type=int, help='squash pictures to this square first; tests do, to 256')
    args = parser.parse_args()
    if args.size is not None and args.size < 1:
        parser.error(f'--size must be at least 1, not {args.size}')
    failed = []

    def run() -> None:
        mean, count, lines = colorfulness_of_folder(**vars(args))
        failed.extend(lines)
        print(*lines, sep='\n', end='\n' if lines else '', file=sys.stderr)
        print(f'CF {mean:.2f} ({args.variant}), {count} images')

    return run_command(run) or (SOME_FAILED if failed else 0)


if __name__ == '__main__':
    sys.exit(main())
