"""Test a checkpoint as its config describes: python tools/test.py CONFIG CHECKPOINT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.engine.arguments import make_parser, parse
from dualattn_mm.engine.run import evaluate, run_tool


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file or URL')
    args = parse(parser)
    return run_tool(lambda: evaluate(**args))


if __name__ == '__main__':
    sys.exit(main())
