"""A LiDAR frame and its objects from above: tools/visualize_bev.py CONFIG CHECKPOINT -o x.png"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.engine.arguments import CfgOptions
from dualattn_mm.engine.run import run_tool


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Detect the objects of one LiDAR frame and draw them from above, beside the '
        'true ones where the frame is of the test data set.'
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of a LiDAR detector of mmdet3d')
    add('checkpoint', metavar='CHECKPOINT', help='its checkpoint')
    add('-o', '--output', required=True, metavar='FILE', help='a PNG file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--frame', type=int, default=0, help="number in the config's test data (default: 0)"
    )
    which.add_argument('--points', metavar='FILE', help='a .bin file instead')
    add('--score-thr', type=float, default=0.3, help='of predicted boxes (default: %(default)s)')
    add('--device', help='by default a GPU, if there is one')
    add('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='as in train.py')
    args = parser.parse_args()

    def run() -> None:
        from dualattn_mm.apis.lidar import draw_detections

        predicted, true = draw_detections(**vars(args))
        known = '' if true is None else f', {true} true ones'
        print(f'{predicted} predicted boxes{known} -> {args.output}')

    return run_tool(run)


if __name__ == '__main__':
    sys.exit(main())
