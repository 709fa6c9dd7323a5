"""Run `dualattn publish` from a checkout: python tools/publish_weights.py ... (see --help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['publish', *sys.argv[1:]]))
