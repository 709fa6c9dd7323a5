"""Compare results of methods: tools/gallery.py --column NAME=FOLDER ... -o out.png (see --help)."""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.arguments import named_folder, natural
from dualattn_mm.utils.command import required_imports, run_command
from dualattn_mm.utils.terminal import print_line

with required_imports():
    from dualattn_mm.visualization.comparison import Column, compare


def column(text: str, gray: bool) -> Column:
    return Column(*named_folder(text), gray)


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Write a grid of images with one labeled column per folder and one row per '
        'photo. Columns keep the given order. Images belong to the same row if their paths below '
        'the folders are equal, except for the suffix.',
        epilog='Example: tools/gallery.py --gray input=photos --column A=colored_a '
        '--column original=photos -o out.png',
    )
    add = parser.add_argument
    columns = dict(action='append', metavar='NAME=FOLDER', dest='columns', required=True)
    add('--column', type=partial(column, gray=False), help='a column; can be repeated', **columns)
    columns['required'] = False
    add(
        '--gray',
        type=partial(column, gray=True),
        help='a column of photos shown without color, as a colorizer sees them',
        **columns,
    )
    add('-o', '--output', required=True, type=Path, metavar='FILE', help='a PNG or JPEG file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--files',
        nargs='+',
        default=(),
        metavar='PATH',
        help='the images to show, as paths below the folders with or without a suffix',
    )
    which.add_argument(
        '--rows',
        type=natural,
        default=6,
        help='number of images, spread evenly over those in all folders (default: %(default)s)',
    )
    add('--height', type=natural, default=240, help='image height in pixels (default: %(default)s)')
    args = parser.parse_args()

    def run() -> None:
        rows = compare(**vars(args))
        print_line(f'{rows} rows of {len(args.columns)} images -> {args.output}')

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
