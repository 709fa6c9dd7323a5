import pytest

from dualattn_mm.utils.atomic import atomic_write_bytes, replacing


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


def test_replacing_keeps_the_former_file_until_the_block_ends(tmp_path):
    path = tmp_path / 'new' / 'x'
    with replacing(path, '.x.tmp') as temporary:
        temporary.write_text('first')
        assert not path.exists()
    assert path.read_text() == 'first'
    with pytest.raises(KeyError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text('half')
        raise KeyError
    assert path.read_text() == 'first'
    assert list(path.parent.iterdir()) == [path]
