"""Run `dualattn colorize` from a checkout: python tools/colorize.py ... (see --help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.cli.main import main

if __name__ == '__main__':
    sys.argv.insert(1, 'colorize')
    sys.exit(main())
