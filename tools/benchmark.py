"""Measure our networks beside their peers: tools/benchmark.py {backbone,colorizer,bev} (--help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.benchmark.cli import main

if __name__ == '__main__':
    sys.exit(main())
