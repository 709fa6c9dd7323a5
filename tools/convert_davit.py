"""Turn DaViT-T, -S or -B of timm or mmpretrain into initial weights of DualAttention.

python tools/convert_davit.py davit_tiny.safetensors -o dualattn_tiny_from_davit.pth
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.apis.davit_file import convert_davit_file, describe
from dualattn_mm.engine.run import run_tool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('input', metavar='INPUT', help="DaViT's weights: .safetensors, or a checkpoint (.pth)")
    add('-o', '--output', required=True, metavar='FILE', help='the checkpoint to write, *.pth')
    args = parser.parse_args()
    return run_tool(
        lambda: print(describe(convert_davit_file(args.input, args.output), args.output))
    )


if __name__ == '__main__':
    sys.exit(main())
