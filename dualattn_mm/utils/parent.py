"""Processes that end with the one that started them."""

import ctypes
import os
import signal
import sys

LAUNCHER = 'DUALATTN_LAUNCHER'  # the variable with the number of the process that starts the others
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


def end_with_parent() -> None:
    """Have Linux kill this process as soon as its parent ends, however that ends.

    `LAUNCHER` in the environment tells which process that is; if it has ended by now, so does this
    one.
    """
    if sys.platform != 'linux':
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    launcher = os.environ.pop(LAUNCHER, None)
    if launcher is not None and os.getppid() != int(launcher):
        os.kill(os.getpid(), signal.SIGKILL)
