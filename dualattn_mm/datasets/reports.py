"""Report samples of a dataset that cannot be used."""

import logging
import sys

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..utils.terminal import print_line, printable


def report(text: str) -> None:
    """Log a warning as one line; processes that log only errors print it to standard error."""
    if is_main_process():
        print_log(printable(text), 'current', logging.WARNING)
    else:
        print_line(text, sys.stderr)
