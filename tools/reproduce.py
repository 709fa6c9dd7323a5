"""Compare the tables of the paper with this implementation: python tools/reproduce.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.command import required_imports

with required_imports():
    from projects.reproduction.cli import main

if __name__ == '__main__':
    sys.exit(main())
