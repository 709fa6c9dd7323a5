"""Colorize photos: python tools/colorize.py INPUT... -o OUTDIR (see --help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.apis.cli import main

if __name__ == '__main__':
    sys.exit(main())
