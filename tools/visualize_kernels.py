"""Draw the effect of color kernels on a photo: tools/visualize_kernels.py IMAGE (see --help)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.cli.options import add_network_arguments
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.terminal import print_line


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Draw where the color kernels of the network are active on a photo (eq. 10; '
        'red is high), and the color that each of them adds (Fig. 9 of the paper).'
    )
    add = parser.add_argument
    add('image', type=Path, metavar='IMAGE', help='an image file')
    add(
        '-o',
        '--output',
        type=Path,
        metavar='FILE',
        help='PNG file to write (default: NAME_kernels.png in the current folder)',
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--kernels',
        nargs='+',
        type=int,
        default=(0, 1, 2, 3),
        metavar='K',
        help='indices of the kernels, starting at 0 (default: the first four, as in the paper)',
    )
    which.add_argument(
        '--strongest', type=int, metavar='N', help='show the N kernels that add the most color'
    )
    add_network_arguments(parser)
    add('--saturation', type=float, help='as in colorize.py')
    args = parser.parse_args()

    def run() -> None:
        from dualattn_mm.apis import ColorizationPipeline
        from dualattn_mm.apis.pipeline import check_saturation
        from dualattn_mm.utils.configs_dir import find_config
        from dualattn_mm.visualization.kernels import visualize_kernels

        if args.saturation is not None:
            check_saturation(args.saturation)
        config = None if args.config is None else find_config(args.config)
        output = args.output or Path(f'{args.image.stem}_kernels.png')
        pipe = ColorizationPipeline(args.weights, config, args.device, size=args.size)
        drawn = visualize_kernels(
            pipe, args.image, output, args.kernels, args.strongest, args.saturation
        )
        print_line(f'kernels {", ".join(map(str, drawn))} -> {output}')

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
