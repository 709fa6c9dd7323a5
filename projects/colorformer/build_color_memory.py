"""Build the memory of ColorFormer's decoder.

python projects/colorformer/build_color_memory.py PHOTOS -o FILE
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.report import check_output
from projects.colorformer.memory_builder import build_color_memory


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Cluster what an encoder sees in gray photos, and the colors of each cluster. '
        'README.md beside this says how, and how a config uses the file.',
    )
    add = parser.add_argument
    add('photos', type=Path, metavar='PHOTOS', help='a folder, searched with its subfolders')
    add('-o', '--output', required=True, type=Path, metavar='FILE', help='a safetensors file')
    add(
        '--weights',
        metavar='FILE',
        help='of the encoder: a colorizer (default: the weights that come with the package), or a '
        'classifier',
    )
    add(
        '--config',
        metavar='FILE',
        help='config file of the colorizer or classifier; it is Python code that runs',
    )
    number = dict(type=int, metavar='N')
    add('--centers', default=512, help='semantic centers (default: %(default)s)', **number)
    add('--colors', default=4, help='ab centers of each (default: %(default)s)', **number)
    add('--channels', default=64, help='of a semantic center (default: %(default)s)', **number)
    add('--size', help='photos are squashed to this square (the size of the weights)', **number)
    add(
        '--cells',
        default=100_000,
        help='so many cells of the map are clustered at most, of all photos together '
        '(default: %(default)s)',
        **number,
    )
    add('--seed', type=int, default=0, help='default: %(default)s')
    args = parser.parse_args()

    def run() -> None:
        check_output(args.output)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        built = build_color_memory(**vars(args), device=device)
        print(
            f'{built.photos} photos, {built.cells} cells, {args.channels} channels with '
            f'{built.explained:.0%} of their variance: {args.centers} semantic centers of '
            f'{args.colors} colors -> {args.output}'
        )

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
