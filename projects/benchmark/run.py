"""Compare the speed and memory of our networks and other ones: projects/benchmark/run.py --help."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# torch reads these variables once. Its profiler, which measures memory on the CPU, would otherwise
# print an error if torch has CUDA but the machine does not, and a warning about earlier events.
os.environ.setdefault('KINETO_LOG_LEVEL', '5')
os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')

from projects.benchmark.cli import main

if __name__ == '__main__':
    sys.exit(main())
