"""The folders that servers leave behind when they are killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import PATIENCE

pytest.importorskip('fastapi', reason="needs the extra 'web'")
from dualattn_mm.web import service

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys
from dualattn_mm.utils.folder_lock import locked_folder
with locked_folder(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_folders_of_killed_servers_are_removed_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    live, dead, other = (
        tmp_path / f'{name}1' for name in ('dualattn-serve-a', 'dualattn-serve-b', 'x')
    )
    for folder in (live, dead, other):
        folder.mkdir()
        (folder / 'upload').touch()
        os.utime(folder, (0, 0))
    command = [sys.executable, '-c', HOLD, live]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b'held\n'
        os.utime(live, (0, 0))
        service._remove_stale()
        assert (live / 'upload').exists()
        assert not dead.exists()
        process.stdin.close()
        process.wait(PATIENCE)
    service._remove_stale()
    assert [path.name for path in tmp_path.iterdir()] == ['x1']


def test_folders_of_other_users_links_and_starting_servers_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    starting, strange, real, link = (
        tmp_path / name
        for name in ('dualattn-serve-a', 'dualattn-serve-b', 'x', 'dualattn-serve-c')
    )
    for folder in (starting, strange, real):
        folder.mkdir()
    link.symlink_to(real)
    for folder in (strange, real):
        os.utime(folder, (0, 0))
    owner = os.getuid()
    lstat = Path.lstat

    def of_a_stranger(path):
        found = lstat(path)
        return os.stat_result([*found[:4], owner + 1, *found[5:]]) if path == strange else found

    monkeypatch.setattr(Path, 'lstat', of_a_stranger)
    service._remove_stale()
    assert {path.name for path in tmp_path.rglob('*')} == {
        *('dualattn-serve-a', 'dualattn-serve-b', 'dualattn-serve-c', 'x')
    }
