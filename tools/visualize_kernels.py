"""What color kernels do on a photo: tools/visualize_kernels.py IMAGE (see --help)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.terminal import print_line


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Draw where the network's color kernels are active on a photo (eq. 10; red is "
        "high), and the color that each of them adds (the paper's Fig. 9)."
    )
    add = parser.add_argument
    add('image', type=Path, metavar='IMAGE', help='an image file')
    add(
        '-o',
        '--output',
        type=Path,
        metavar='FILE',
        help="a PNG file (default: IMAGE's name with _kernels.png, in the current folder)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--kernels',
        nargs='+',
        type=int,
        default=(0, 1, 2, 3),
        metavar='K',
        help='their numbers, from 0 on (default: the first four, as in the paper)',
    )
    which.add_argument(
        '--strongest', type=int, metavar='N', help='the N kernels that add most color instead'
    )
    add('--weights', type=Path, metavar='FILE', help='as in colorize.py')
    add('--config', type=Path, metavar='FILE', help='as in colorize.py')
    add('--device', choices=('auto', 'cpu', 'cuda'), default='auto', help='default: %(default)s')
    add('--saturation', type=float, help='as in colorize.py')
    args = parser.parse_args()

    def run() -> None:
        from dualattn_mm.apis import ColorizationPipeline
        from dualattn_mm.apis.pipeline import check_saturation
        from dualattn_mm.visualization.kernels import visualize_kernels

        if args.saturation is not None:
            check_saturation(args.saturation)
        output = args.output or Path(f'{args.image.stem}_kernels.png')
        pipe = ColorizationPipeline(args.weights, args.config, args.device)
        drawn = visualize_kernels(
            pipe, args.image, output, args.kernels, args.strongest, args.saturation
        )
        print_line(f'kernels {", ".join(map(str, drawn))} -> {output}')

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
