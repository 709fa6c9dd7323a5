"""A process ends when its parent is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE

from dualattn_mm.utils.parent import LAUNCHER

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='needs prctl')

ROOT = Path(__file__).parents[2]
CHILD = (
    'import time; from dualattn_mm.utils.parent import end_with_parent; end_with_parent(); '
    'print("ready", flush=True); time.sleep(1000)'
)
PARENT = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {CHILD!r}])'


def test_child_ends_with_its_killed_parent():
    parent = subprocess.Popen([sys.executable, '-c', PARENT], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout.readline() == b'ready\n'
    parent.send_signal(signal.SIGKILL)
    # The child holds the other end of the pipe: it closes when both have ended.
    assert parent.communicate(timeout=PATIENCE)[0] == b''


@pytest.mark.parametrize(('launcher', 'end'), [(os.getpid, None), (lambda: 1, -signal.SIGKILL)])
def test_child_ends_if_its_launcher_has_ended(launcher, end):
    """The launcher has ended before the child requests the signal."""
    child = subprocess.Popen(
        [sys.executable, '-c', CHILD],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {LAUNCHER: str(launcher())},
    )
    line = child.stdout.readline()
    assert line == (b'ready\n' if end is None else b'')
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
