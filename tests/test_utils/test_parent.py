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


def start_child(launcher):
    return subprocess.Popen(
        [sys.executable, '-c', CHILD],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {LAUNCHER: str(launcher)},
    )


def test_child_lives_as_long_as_its_launcher():
    child = start_child(os.getpid())
    assert child.stdout.readline() == b'ready\n'
    child.kill()
    child.communicate()


def test_child_ends_if_its_launcher_has_ended():
    """The launcher has ended before the child requests the signal."""
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait(PATIENCE)
    child = start_child(ended.pid)
    assert child.communicate(timeout=PATIENCE)[0] == b''
    assert child.returncode == -signal.SIGKILL
