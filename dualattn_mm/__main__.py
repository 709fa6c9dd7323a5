"""Run the command `dualattn` with `python -m dualattn_mm`."""

import sys

from .cli.main import main

if __name__ == '__main__':
    sys.exit(main())
