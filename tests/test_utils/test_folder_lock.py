"""Two processes cannot write to one folder, and a killed process releases it."""

import multiprocessing
import os
import signal

import pytest

from dualattn_mm.utils import folder_lock
from dualattn_mm.utils.errors import RunError
from dualattn_mm.utils.folder_lock import locked_folder

pytestmark = pytest.mark.skipif(folder_lock.fcntl is None, reason='needs locks of POSIX')


def hold(folder, said):
    with locked_folder(folder):
        said.send('locked')
        signal.pause()


@pytest.fixture
def holder(tmp_path):
    """A process that locks the folder until it is killed."""
    context = multiprocessing.get_context('fork')
    told, said = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(tmp_path / 'work', said))
    process.start()
    said.close()  # or the end of a process that fails would not be noticed
    try:
        assert told.recv() == 'locked'
        yield process
    finally:
        process.kill()
        process.join()
        told.close()


def test_second_process_is_refused_until_the_first_is_killed(tmp_path, holder):
    folder = tmp_path / 'work'
    with pytest.raises(RunError) as caught, locked_folder(folder):
        pass
    assert str(caught.value).startswith(f'another training (process {holder.pid} on ')
    assert f'writes to {folder}: choose another folder' in str(caught.value)
    with locked_folder(tmp_path / 'other'):
        pass
    holder.kill()
    holder.join()
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
