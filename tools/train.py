"""Train what a config of any of the four libraries describes: python tools/train.py CONFIG."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.engine.arguments import make_parser, parse
from dualattn_mm.engine.run import train
from dualattn_mm.utils.command import run_command


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a name from the last one of the work folder',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate with the batch, by the config's auto_scale_lr",
    )
    args = parse(parser)
    return run_command(lambda: train(**args))


if __name__ == '__main__':
    sys.exit(main())
