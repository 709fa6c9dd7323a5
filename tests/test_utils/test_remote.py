import os

import pytest

from dualattn_mm.utils.errors import ColorizeError
from dualattn_mm.utils.remote import open_binary


@pytest.fixture
def pipe_file(tmp_path):
    """A named pipe, which this process holds open, so that opening it does not wait."""
    path = tmp_path / 'a.jpg'
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    yield path
    os.close(held)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_pipe_is_not_opened(pipe_file):
    with pytest.raises(ColorizeError, match='it is not a regular file'):
        open_binary(pipe_file)


@pytest.mark.skipif(not os.path.exists('/dev/null'), reason='needs the devices of Unix')
def test_link_to_a_device_is_not_opened(tmp_path):
    (tmp_path / 'a.jpg').symlink_to('/dev/null')
    with pytest.raises(ColorizeError, match='it is not a regular file'):
        open_binary(tmp_path / 'a.jpg')


def test_link_to_a_file_is_opened(tmp_path):
    (tmp_path / 'a').write_bytes(b'a photo')
    (tmp_path / 'a.jpg').symlink_to('a')
    with open_binary(tmp_path / 'a.jpg') as file:
        assert file.read() == b'a photo'
