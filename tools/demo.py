"""Colorize a handful of packaged photos; with --train, after training on them (tools/demo.sh)."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--train', action='store_true', help='first train on these very photos, for some minutes'
    )
    parser.add_argument('--fresh', action='store_true', help='discard an earlier training')
    args = parser.parse_args()
    if args.fresh and not args.train:
        parser.error('--fresh goes with --train')

    from dualattn_mm.apis.demo import run_demo, train_demo

    outputs = ROOT / 'outputs'
    try:
        if args.train:
            train_demo(outputs / 'demo_train', args.fresh)
        else:
            run_demo(outputs / 'demo')
    except KeyboardInterrupt:
        print('interrupted: run it again to continue', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
