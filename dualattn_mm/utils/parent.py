"""End processes together with the process that started them."""

import ctypes
import os
import signal
import sys

LAUNCHER = 'DUALATTN_LAUNCHER'  # the variable with the id of the process that starts the others
_PR_SET_PDEATHSIG = 1  # an option of Linux's prctl


def end_with_parent() -> None:
    """Let Linux kill this process as soon as its parent ends for any reason.

    `LAUNCHER` in the environment is the id of the parent. If the parent has already ended, this
    process ends as well.
    """
    if sys.platform != 'linux':
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    launcher = os.environ.pop(LAUNCHER, None)
    if launcher is not None and os.getppid() != int(launcher):
        os.kill(os.getpid(), signal.SIGKILL)
