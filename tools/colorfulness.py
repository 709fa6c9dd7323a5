"""Compute the mean colorfulness (CF) of the images in a folder."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import DONE, FAILED, required_imports, run_command
from dualattn_mm.utils.terminal import print_line

with required_imports():
    from dualattn_mm.evaluation import VARIANTS
    from dualattn_mm.evaluation.folders import colorfulness_of_folder


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit status: 0 if all images were read, 1 if some could not be read (they are '
        'listed), 2 if an argument is wrong.',
    )
    add = parser.add_argument
    add('folder', type=Path, metavar='FOLDER', help='folder, searched with its subfolders')
    add(
        '--variant',
        choices=VARIANTS,
        default='signed',
        help='signed: the published definition, which the paper uses; absolute: with absolute '
        'differences, as in the scripts of DDColor and ColorFormer; colorformer: absolute, but '
        'skips images with a value of at most 1 (default: %(default)s)',
    )
    add('--size', type=natural, help='resize images to this square first (tests use 256)')
    args = parser.parse_args()

    def run() -> int:
        mean, used, count, failed = colorfulness_of_folder(**vars(args))
        for line in failed:
            print_line(line, sys.stderr)
        images = f'{count} images' if used == count else f'{used} of {count} images'
        print(f'CF {mean:.2f} ({args.variant}), {images}')
        return FAILED if failed else DONE

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
