"""Train the mini preset on a handful of packaged photos and colorize them (see tools/demo.sh)."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--fresh', action='store_true', help='discard an earlier training')
    args = parser.parse_args()

    from dualattn_mm.apis.demo import run_demo

    try:
        run_demo(ROOT / 'outputs' / 'demo', args.fresh)
    except KeyboardInterrupt:
        print('interrupted: run it again to continue', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
