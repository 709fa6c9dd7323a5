"""Turn a checkpoint of the colorizer into the file that tools/colorize.py takes.

python tools/publish_weights.py CONFIG CHECKPOINT -o mpt.safetensors
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.apis.pipeline import check_saturation
from dualattn_mm.apis.weights import publish
from dualattn_mm.utils.errors import ColorizeError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file of the training')
    add('checkpoint', metavar='CHECKPOINT', help='its checkpoint (or a safetensors file to change)')
    add('-o', '--output', required=True, metavar='FILE', help='the safetensors file to write')
    add('--saturation', type=float, help="default factor on the colours (the config's, or 1)")
    add('--half', action='store_true', help='store float16: half the size')
    args = parser.parse_args()
    try:
        if args.saturation is not None:
            check_saturation(args.saturation)
        publish(**vars(args))
    except (ColorizeError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
