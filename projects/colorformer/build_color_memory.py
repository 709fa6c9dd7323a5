"""Build the color memory for ColorFormer's decoder.

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
        description='Cluster the features of an encoder on gray photos, and the colors of each '
        'cluster. README.md in this folder explains the method and how a config uses the file.',
    )
    add = parser.add_argument
    add(
        'photos', type=Path, metavar='PHOTOS', help='folder of photos, searched with its subfolders'
    )
    add(
        '-o', '--output', required=True, type=Path, metavar='FILE', help='safetensors file to write'
    )
    add(
        '--weights',
        metavar='FILE',
        help='weights of the encoder: of a colorizer (default: the bundled weights), or of a '
        'classifier',
    )
    add(
        '--config',
        metavar='FILE',
        help='config file of the colorizer or classifier, which is Python code that is executed',
    )
    number = dict(type=int, metavar='N')
    add(
        '--centers', default=512, help='number of semantic centers (default: %(default)s)', **number
    )
    add('--colors', default=4, help='number of ab centers in each (default: %(default)s)', **number)
    add(
        '--channels',
        default=64,
        help='channels of a semantic center (default: %(default)s)',
        **number,
    )
    add('--size', help='resize photos to this square (default: the size of the weights)', **number)
    add(
        '--cells',
        default=100_000,
        help='largest number of map cells to cluster, over all photos (default: %(default)s)',
        **number,
    )
    add('--seed', type=int, default=0, help='random seed (default: %(default)s)')
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
