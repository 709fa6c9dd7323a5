"""Measure our networks beside their peers: projects/benchmark/run.py --help."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# torch reads them once. Its profiler, which measures memory on the CPU, would print an error where
# torch has CUDA and the machine has not, and a warning about what it does not know of the past.
os.environ.setdefault('KINETO_LOG_LEVEL', '5')
os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')

from projects.benchmark.cli import main

if __name__ == '__main__':
    sys.exit(main())
