import os
import sys
import time
from pathlib import Path

import pytest
from processes import FORKED

from dualattn_mm.utils.atomic import atomic_file, atomic_write_bytes, check_writable
from dualattn_mm.utils.errors import ColorizeError


def test_file_is_written_completely(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    atomic_write_bytes(path, b'old')
    atomic_write_bytes(path, b'new')
    assert path.read_bytes() == b'new'
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_keeps_the_old_file(tmp_path):
    folder = tmp_path / 'results'
    folder.mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        atomic_write_bytes(folder, b'new')
    assert list(tmp_path.iterdir()) == [folder]


def test_file_that_exists_is_not_replaced_unless_asked(tmp_path):
    path = tmp_path / 'a'
    atomic_write_bytes(path, b'old', overwrite=False)
    with pytest.raises(FileExistsError):
        atomic_write_bytes(path, b'new', overwrite=False)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_exists_is_reported_before_the_work(tmp_path):
    (tmp_path / 'a').write_bytes(b'old')
    with (
        pytest.raises(FileExistsError, match='already exists and is not overwritten'),
        atomic_file(tmp_path / 'a', overwrite=False),
    ):
        pytest.fail('the work began')


def test_file_that_appears_during_the_work_is_not_replaced(tmp_path):
    path = tmp_path / 'a'

    def work():
        with atomic_file(path, overwrite=False):
            path.write_bytes(b'other')

    with pytest.raises(FileExistsError, match='created by another program'):
        work()
    assert path.read_bytes() == b'other'
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_uploaded_is_kept_if_asked(tmp_path, monkeypatch):
    pytest.importorskip('fsspec')

    def fail(*_):
        raise ColorizeError('the result cannot be written: Access Denied')

    def work(keep):
        with atomic_file(Path('memory://out/a.mp4'), keep=keep) as temporary:
            temporary.write_bytes(b'a film')

    monkeypatch.setattr('dualattn_mm.utils.atomic.upload', fail)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(ColorizeError, match=r'Access Denied$'):
        work(keep=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ColorizeError, match='Access Denied; it was kept as ') as error:
        work(keep=True)
    kept = Path(str(error.value).rpartition(' kept as ')[2])
    assert (kept.name, kept.read_bytes()) == ('a.mp4', b'a film')
    assert list(tmp_path.rglob('*.mp4')) == [kept]


def test_link_to_nothing_is_not_replaced_unless_asked(tmp_path):
    link = tmp_path / 'a'
    link.symlink_to('nothing')
    with pytest.raises(FileExistsError):
        atomic_write_bytes(link, b'new', overwrite=False)
    assert [path.readlink().name for path in tmp_path.iterdir()] == ['nothing']


def test_bytes_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, 'fsync', lambda fd: calls.append(('fsync', os.fstat(fd).st_size)))
    replace = os.replace
    monkeypatch.setattr(os, 'replace', lambda *a: (calls.append(('replace',)), replace(*a)))
    atomic_write_bytes(tmp_path / 'a', b'12345')
    assert calls == [('fsync', 5), ('replace',)]


def test_disk_that_takes_a_part_only_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda fd: os.ftruncate(fd, 3))
    with pytest.raises(OSError, match='only a part'):
        atomic_write_bytes(tmp_path / 'a', b'12345')
    assert not list(tmp_path.iterdir())


def test_stale_temporary_files_of_killed_processes_are_removed(tmp_path):
    old, fresh, others = (
        tmp_path / name for name in ('.colorize-1.tmp', '.colorize-2.tmp', '.mine.tmp')
    )
    for path in (old, fresh, others):
        path.touch()
    two_hours_ago = time.time() - 7200
    for path in (old, others):
        os.utime(path, (two_hours_ago, two_hours_ago))
    atomic_write_bytes(tmp_path / 'a', b'')
    assert {path.name for path in tmp_path.iterdir()} == {'.colorize-2.tmp', '.mine.tmp', 'a'}


def test_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match=r'cannot write to the folder .*file.*: '):
        check_writable(tmp_path / 'file' / 'out')


# Every writer of the package, and what it writes, of 20,000 bytes or more where a process may write
# 8,000. Each must fail and leave nothing.
WRITERS = """
import io, json, os, resource, sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dualattn_mm.apis import save_generator
from dualattn_mm.cli.main import main
from dualattn_mm.engine.hooks.safe_checkpoint import AtomicLocalBackend
from dualattn_mm.utils.image_io import write_image
from dualattn_mm.utils.report import write_json
from dualattn_mm.visualization.comparison import Column, compare
from projects.colorformer.color_memory import Memory, write_memory

noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8))
photos, out = Path('photos'), Path('out')
photos.mkdir()
noise.save(photos / 'a.png')
noise.save(photos / 'b.tif')
noise.save(photos / 'c.jpg', quality=95)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
network = torch.nn.Linear(100, 100)
writers = {
    **{
        f: lambda f=f: write_image(noise, out / f'a.{f}', f, True)
        for f in ('PNG', 'TIFF', 'JPEG', 'WEBP')
    },
    'weights': lambda: save_generator(out / 'a.safetensors', network, dict(type='Linear')),
    'checkpoint': lambda: AtomicLocalBackend().put(bytes(20_000), out / 'a.pth'),
    'JSON': lambda: write_json(out / 'a.json', dict(a=list(range(9999)))),
    'sheet': lambda: compare([Column('a', photos)], out / 'sheet.png'),
    'memory': lambda: write_memory(
        out / 'memory.safetensors', Memory(torch.zeros(99, 99), torch.zeros(99, 4, 2))
    ),
}
for name, write in writers.items():
    try:
        write()
    except (OSError, ValueError) as error:
        assert 'File too large' in str(error), error
    else:
        raise AssertionError(name)
argv = ['--device', 'cpu', '--size', '32', '--compare', '--recolor']
status = main(['colorize', 'photos', '-o', 'out', *argv])
assert status == 1, status
assert not list(out.rglob('*')), list(out.rglob('*'))
"""


@pytest.mark.slow
def test_partial_writes_are_detected(tmp_path):
    """In a process of its own, because the limit is one for the whole process."""
    pytest.importorskip('resource')
    script, said = tmp_path / 'write.py', tmp_path / 'said'
    script.write_text(f'import os\nos.chdir({str(tmp_path)!r})\n{WRITERS}')
    with said.open('wb') as log:
        status = FORKED.run([sys.executable, script], check=False, stdout=log).returncode
    assert status == 0, said.read_text()
    assert '0 done, 0 skipped, 3 failed' in said.read_text()
    assert said.read_text().count('File too large') == 3
