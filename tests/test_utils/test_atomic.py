import pytest

from dualattn_mm.utils.atomic import atomic_write_bytes


def test_file_is_written_whole(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    atomic_write_bytes(path, b'old')
    atomic_write_bytes(path, b'new')
    assert path.read_bytes() == b'new'
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stays(tmp_path):
    folder = tmp_path / 'results'
    folder.mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        atomic_write_bytes(folder, b'new')
    assert list(tmp_path.iterdir()) == [folder]
