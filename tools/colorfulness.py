"""Mean colorfulness (CF) of a folder's pictures: python tools/colorfulness.py FOLDER."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.evaluation import VARIANTS
from dualattn_mm.evaluation.folders import colorfulness_of_folder
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import DONE, FAILED, run_command
from dualattn_mm.utils.terminal import print_line


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
    add('--size', type=natural, help='squash pictures to this square first; tests do, to 256')
    args = parser.parse_args()

    def run() -> int:
        mean, count, failed = colorfulness_of_folder(**vars(args))
        for line in failed:
            print_line(line, sys.stderr)
        print(f'CF {mean:.2f} ({args.variant}), {count} images')
        return FAILED if failed else DONE

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
