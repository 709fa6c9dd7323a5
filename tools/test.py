"""Test a checkpoint as its config describes: python tools/test.py CONFIG CHECKPOINT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.engine.arguments import make_parser, parse
from dualattn_mm.engine.run import evaluate
from dualattn_mm.utils.command import run_command


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument(
        'checkpoint',
        metavar='CHECKPOINT',
        help='checkpoint file or URL; for the colorizer also safetensors of its generator',
    )
    parser.add_argument('--out', metavar='FILE', help='write the metrics as JSON')
    parser.add_argument(
        '--show-dir', metavar='FOLDER', help='save the predictions as PNG (colorizer)'
    )
    args = parse(parser)
    return run_command(lambda: evaluate(**args))


if __name__ == '__main__':
    sys.exit(main())
