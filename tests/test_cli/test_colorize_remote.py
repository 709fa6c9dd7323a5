import os
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from processes import PATIENCE
from skimage.data import astronaut

from dualattn_mm.cli.main import main
from dualattn_mm.utils.remote import check_place, upload


class Share(LocalFileSystem):
    """A remote disk, on which a file that is being written can be seen."""

    protocol = 'share'
    root: Path

    @classmethod
    def _strip_protocol(cls, path):
        path = str(path)
        if path.startswith('share://'):
            path = str(cls.root / path.removeprefix('share://'))
        return path.rstrip('/')


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Share.root = tmp_path / 'share'
    fsspec.register_implementation('share', Share, clobber=True)


@pytest.fixture
def run(weights, capsys):
    """Run main(argv) with small settings; return the exit status, stdout and stderr."""

    def run_(*argv):
        options = ['--weights', str(weights), '--size', '32', '--device', 'cpu']
        return main(['colorize', *argv, *options]), *capsys.readouterr()

    return run_


def names(url):
    files, root = fsspec.core.url_to_fs(url)
    return sorted(path.removeprefix(root).lstrip('/') for path in files.find(root))


def copy_to(folder, url):
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(os.path.dirname(root), exist_ok=True)
    files.put(f'{folder}/', f'{root}/', recursive=True)


def make_photos():
    os.makedirs('in/sub/.hidden')
    gray = Image.linear_gradient('L').resize((24, 20))
    gray.save('in/a.jpg')
    gray.save('in/sub/old.bmp')
    gray.save('in/sub/.hidden/b.png')
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save('in/sub/scan.png')
    gray.save('in/sub/moving.gif', save_all=True, append_images=[gray.rotate(90)])
    gray.save('in/sub/pages.tif', save_all=True, append_images=[gray.rotate(90)])
    Path('in/bad.png').write_text('no image')
    Path('in/notes.txt').write_text('text')


@pytest.mark.parametrize('protocol', ['memory', 'share'])
def test_remote_folders_give_the_results_of_local_ones(run, protocol):
    make_photos()
    run('in', '-o', 'out', '--pages', 'all', '--compare')
    place = f'{protocol}://bucket'
    copy_to('in', f'{place}/in')
    for done, skipped in (('5 done', '0 skipped'), ('0 done', '5 skipped')):
        status, out, err = run(f'{place}/in', '-o', f'{place}/out', '--pages', 'all', '--compare')
        assert status == 1
        assert f'{done}, {skipped}, 1 failed, 1 ignored' in out
        assert f'({place}/in/notes.txt)' in out
        assert out.rstrip().endswith(f' -> {place}/out')
        assert f'{place}/in/bad.png: not a JPEG' in err
    local = sorted(str(path.relative_to('out')) for path in Path('out').rglob('*.*'))
    assert len(local) == 8
    assert names(f'{place}/out') == local
    files, root = fsspec.core.url_to_fs(f'{place}/out')
    for name in local:
        assert files.cat_file(f'{root}/{name}') == Path('out', name).read_bytes()


def test_results_in_the_folder_that_is_searched_are_no_inputs(run):
    make_photos()
    copy_to('in', 'memory://in')
    for done in ('2 done', '0 done'):
        _, out, _ = run('memory://in/**/*.[jp][pn]g', '-o', 'memory://in/colorized')
        assert out.startswith(done)
    assert names('memory://in/colorized') == ['a.jpg', 'sub/scan.png']


def test_remote_frames_in_color_are_left_alone(run):
    """Turned and with 16 bits, so that the pixels are read from the file itself."""
    tifffile = pytest.importorskip('tifffile')
    os.mkdir('in')
    photo = astronaut()[::8, ::8].astype(np.uint16) * 257
    for name in ('1.tif', '2.tif'):
        tifffile.imwrite(f'in/{name}', photo, photometric='rgb', extratags=[(274, 3, 1, 6, True)])
    copy_to('in', 'memory://in')
    status, out, _ = run('memory://in', '-o', 'out', '--frames')
    assert status == 0
    assert out.startswith('0 done, 0 skipped, 0 failed, 2 left in color')


def test_remote_pages_with_sixteen_bits(run):
    tifffile = pytest.importorskip('tifffile')
    os.mkdir('in')
    pages = np.random.default_rng(0).integers(0, 65536, (2, 20, 24)).astype(np.uint16)
    tifffile.imwrite('in/a.tif', pages)
    status, _, err = run('in', '-o', 'memory://deep', '--pages', 'all')
    assert (status, err) == (0, '')
    with fsspec.open('memory://deep/a.tif') as file:
        assert tifffile.TiffFile(file).pages[1].asarray().dtype == np.uint16


@pytest.mark.parametrize('output', ['memory://new.png', 'new.png'])
def test_one_remote_photo(run, output):
    make_photos()
    copy_to('in', 'memory://in')
    status, _, _ = run('memory://in/a.jpg', '-o', output)
    assert status == 0
    with fsspec.open(output) as file:
        assert Image.open(file).size == (24, 20)
    assert not os.path.exists('memory:')


def test_a_url_of_this_machine_is_a_path(run, tmp_path):
    make_photos()
    assert run(f'file://{tmp_path}/in/a.jpg', '-o', f'file://{tmp_path}/out')[0] == 0
    assert os.listdir('out') == ['a.jpg']


def test_a_remote_input_is_not_replaced(run):
    make_photos()
    copy_to('in', 'memory://in')
    status, _, err = run('memory://in', '-o', 'memory://in', '--overwrite')
    assert status == 2
    assert err == 'error: memory://in/a.jpg is an input and would be overwritten: change -o\n'


def test_names_do_not_lead_out_of_the_output_folder(run):
    make_photos()
    data = Path('in/a.jpg').read_bytes()
    for name in ('/in/b.jpg', '/in/../../evil.jpg', '/in/..jpg'):
        MemoryFileSystem.store[name] = MemoryFileSystem().open('/x', 'wb', data=data)
    run('memory://in', '-o', 'deep/out')
    assert [str(path) for path in Path().rglob('*.jpg') if path.parts[0] != 'in'] == [
        'deep/out/b.jpg'
    ]


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('memory://nothing', 'memory://nothing does not exist'),
        ('memory://nothing/*.png', 'memory://nothing cannot be read'),
        ('unknown://in', 'unknown://in cannot be reached: Protocol not known: unknown'),
        ('MEMORY://in', 'MEMORY://in cannot be reached: Protocol not known: MEMORY'),
        ('zip://in::a.zip', 'zip://in::a.zip cannot be reached: a URL with "::"'),
        ('sftp://in', 'sftp://in cannot be reached: SFTPFileSystem requires "paramiko"'),
    ],
)
def test_a_place_that_cannot_be_read_is_one_line(run, monkeypatch, url, message):
    monkeypatch.setitem(sys.modules, 'paramiko', None)
    status, out, err = run(url)
    assert (status, out) == (2, '')
    assert err.startswith(f'error: {message}')
    assert err.count('\n') == 1


def test_a_missing_bucket_is_found_before_anything_is_colorized(run, monkeypatch):
    make_photos()
    monkeypatch.setattr('dualattn_mm.utils.remote._WITH_BUCKETS', {'memory:'})
    status, out, err = run('in/a.jpg', '-o', 'memory://missing/out')
    assert (status, out) == (2, '')
    assert err == 'error: the bucket memory://missing does not exist\n'
    MemoryFileSystem().mkdir('/bucket')
    assert run('in/a.jpg', '-o', 'memory://bucket/out')[0] == 0
    assert names('memory://bucket') == ['out/a.jpg']


def test_a_place_without_write_access_is_found_before_anything_is_colorized(run, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, 'Access Denied')

    make_photos()
    monkeypatch.setattr(Share, 'pipe_file', deny)
    status, out, err = run('in/a.jpg', '-o', 'share://out')
    assert (status, out) == (2, '')
    assert err == 'error: cannot write to the folder share://out: Access Denied\n'


@pytest.mark.parametrize('output', ['MEMORY://out', 'memory://out::x.zip'])
def test_output_that_is_no_place_is_not_taken_for_a_local_folder(run, output):
    make_photos()
    assert run('in/a.jpg', '-o', output)[0] == 2
    assert sorted(os.listdir()) == ['in', 'weights']


def test_a_local_folder_whose_name_looks_like_a_service_is_searched(run):
    make_photos()
    os.rename('in/sub', 'photos:')
    assert 'colorized' not in os.listdir()
    assert run('photos:', '-o', 'out')[0] == 0
    assert 'scan.png' in os.listdir('out')


def test_nothing_else_is_written_where_each_file_is_a_commit(monkeypatch):
    files = Mock(**{'info.return_value': dict(type='directory')})
    monkeypatch.setattr(fsspec.core, 'url_to_fs', lambda url: (files, url))
    check_place(Path('hf:/user/repository'))
    files.pipe_file.assert_not_called()
    check_place(Path('memory:/out'))
    files.pipe_file.assert_called_once()


def test_headers_in_a_distant_place_are_read_at_once(run, monkeypatch):
    for name in range(4):
        os.makedirs('in', exist_ok=True)
        Image.linear_gradient('L').resize((24, 20)).save(f'in/{name}.jpg')
    Path('in/2.jpg').write_text('no image')
    copy_to('in', 'memory://in')
    together, opened = threading.Barrier(4), MemoryFileSystem._open

    def open_together(self, path, mode='rb', **options):
        if mode == 'rb' and path not in seen:
            seen.add(path)
            together.wait(PATIENCE)
        return opened(self, path, mode, **options)

    seen = set()
    monkeypatch.setattr(MemoryFileSystem, '_open', open_together)
    status, out, err = run('memory://in', '-o', 'out')
    assert (status, len(seen)) == (1, 4)
    assert out.startswith('3 done, 0 skipped, 1 failed')
    assert err.startswith('memory://in/2.jpg: not a JPEG')


def test_a_broken_connection_leaves_nothing_half_written(run, monkeypatch):
    make_photos()

    def put_half(self, local, path, **_):
        Path(path).write_bytes(Path(local).read_bytes()[:20])
        raise ConnectionResetError('the connection is broken')

    monkeypatch.setattr(Share, 'put_file', put_half)
    status, out, err = run('in/a.jpg', 'in/sub', '-o', 'share://out')
    assert status == 1
    assert out.startswith('0 done, 0 skipped, 5 failed')
    assert 'in/a.jpg: the result cannot be written: the connection is broken' in err
    assert not [path for path in Share.root.rglob('*') if path.is_file()]


def test_upload_replaces_a_file(tmp_path):
    (tmp_path / 'new').write_text('new')
    for text in ('', 'old'):
        Share.root.mkdir(exist_ok=True)
        (Share.root / 'file').write_text(text)
        upload(tmp_path / 'new', Path('share://file'))
        assert [p.read_text() for p in Share.root.iterdir()] == ['new']
