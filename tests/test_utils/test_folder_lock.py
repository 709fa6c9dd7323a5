"""Two processes cannot write to one folder, and a killed process releases it."""

import os
import signal

import pytest

from dualattn_mm.utils import folder_lock
from dualattn_mm.utils.errors import RunError
from dualattn_mm.utils.folder_lock import locked_folder

pytestmark = pytest.mark.skipif(folder_lock.fcntl is None, reason='needs locks of POSIX')


@pytest.fixture
def holder(tmp_path):
    """Return the id of a process that locks the folder until it is killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with locked_folder(tmp_path / 'work'):
            os.write(writer, b'1')
            signal.pause()
    os.read(reader, 1)
    yield pid
    os.close(reader)
    os.close(writer)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_second_process_is_refused_until_the_first_is_killed(tmp_path, holder):
    folder = tmp_path / 'work'
    with pytest.raises(RunError) as caught, locked_folder(folder):
        pass
    assert str(caught.value).startswith(f'another training (process {holder} on ')
    assert f'writes to {folder}: choose another folder' in str(caught.value)
    with locked_folder(tmp_path / 'other'):
        pass
    kill(holder)
    for _ in range(2):  # and again, in turn
        with locked_folder(folder):
            assert (folder / '.lock').read_text().startswith(f'process {os.getpid()} on ')


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    victim = tmp_path / 'victim'
    victim.write_text('important')
    (tmp_path / '.lock').symlink_to(victim)
    with pytest.raises(OSError, match='symbolic links'), locked_folder(tmp_path):
        pass
    assert victim.read_text() == 'important'


def test_folder_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(folder_lock.fcntl, 'lockf', refuse)
    with locked_folder(tmp_path):
        pass
    assert 'cannot be locked (No locks available)' in capsys.readouterr().err
