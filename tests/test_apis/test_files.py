import os
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from dualattn_mm.apis import ColorizeError, load_generator
from dualattn_mm.apis.files import plan
from dualattn_mm.utils.atomic import check_writable


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory, so that tests can use relative paths."""
    folder = tmp_path / 'here'
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def make(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (2, 2)).save(name)


def outputs(*inputs, compare=False, overwrite=False, out='out'):
    """Return the outputs by source, as strings."""
    result = plan(inputs, Path(out), compare, overwrite)
    assert not result.failed
    return {str(job.source): job.output and job.output.as_posix() for job in result.jobs}


def test_named_files(here):
    make('a.jpg', 'deep/down/b.png', 'c.bmp')
    assert outputs('a.jpg', 'deep/down/b.png', 'c.bmp') == {
        'a.jpg': 'out/a.jpg',
        'deep/down/b.png': 'out/b.png',
        'c.bmp': 'out/c.png',
    }


def test_folder_keeps_its_structure(here):
    make('in/a.jpg', 'in/sub/a.JPG', 'in/sub/deeper/b.tif')
    make('in/.hidden.jpg', 'in/.cache/c.jpg', 'in/sub/._a.jpg')
    Path('in/notes.txt').write_text('no image')
    assert outputs('in') == {
        'in/a.jpg': 'out/a.jpg',
        'in/sub/a.JPG': 'out/sub/a.JPG',
        'in/sub/deeper/b.tif': 'out/sub/deeper/b.tif',
    }


def test_patterns_keep_the_path_from_the_first_wildcard(here):
    make('in/a.jpg', 'in/b.png', 'in/x/c.jpg', 'in/x/y/d.jpg', 'in/folder.jpg/e.jpg')
    assert outputs('in/*.jpg') == {'in/a.jpg': 'out/a.jpg'}
    assert outputs('in/x*/c.jpg') == {'in/x/c.jpg': 'out/x/c.jpg'}
    assert set(outputs('in/**/*.jpg').values()) == {
        'out/a.jpg',
        'out/x/c.jpg',
        'out/x/y/d.jpg',
        'out/folder.jpg/e.jpg',
    }
    assert outputs(f'{here}/in/*.png') == {f'{here}/in/b.png': 'out/b.png'}


def test_wildcards_in_a_file_name(here):
    make('a[1].jpg', 'a1.jpg')
    assert outputs('a[1].jpg') == {'a[1].jpg': 'out/a[1].jpg'}


def test_results_inside_the_input_are_no_input(here):
    make('in/a.jpg', 'in/out/a.jpg', 'in/out/sub/b.jpg')
    expected = {'in/a.jpg': 'in/out/a.jpg'}
    for text in ('in', 'in/**/*.jpg', str(here / 'in')):
        found = outputs(text, out='in/out', overwrite=True)
        assert list(found.values()) == list(expected.values())
    os.symlink('in/out', 'link')
    assert list(outputs('in', out='link', overwrite=True).values()) == ['link/a.jpg']


@pytest.mark.parametrize('text', ['none.jpg', 'empty', 'in/*.png', '', 'none/*', 'text'])
def test_inputs_that_give_nothing(here, text):
    make('in/a.jpg')
    Path('empty/sub').mkdir(parents=True)
    Path('text').mkdir()
    Path('text/readme.txt').write_text('no image')
    name = text.replace('*', '.')
    with pytest.raises(ColorizeError, match=rf'no image in .*{name}|{name}.* does not exist'):
        plan(['in', text], Path('out'), compare=False, overwrite=False)


def test_two_inputs_for_one_output(here):
    make('in/a.bmp', 'in/a.png', 'other/a.png')
    with pytest.raises(ColorizeError, match=r'in/a\.bmp and in/a\.png .* out/a\.png'):
        outputs('in')
    with pytest.raises(ColorizeError, match=r'in/a\.png and other/a\.png .* out/a\.png'):
        outputs('in/a.png', 'other')


def test_one_input_twice_is_one(here):
    make('in/a.jpg')
    os.symlink('in', 'link')
    assert len(outputs('in', 'in/a.jpg', 'in/*', str(here / 'in'), 'link')) == 1


def test_compare_files(here):
    make('in/a.jpg', 'in/a.png')
    jobs = plan(['in'], Path('out'), compare=True, overwrite=False).jobs
    assert [job.compare.as_posix() for job in jobs] == [
        'out/a.jpg.compare.png',
        'out/a.png.compare.png',
    ]
    make('in/a.jpg.compare.png')
    with pytest.raises(ColorizeError, match='would both be written'):
        plan(['in'], Path('out'), compare=True, overwrite=False)


def test_existing_results_are_skipped(here):
    make('in/a.jpg', 'in/b.jpg', 'out/a.jpg')
    result = plan(['in'], Path('out'), compare=False, overwrite=False)
    assert ([job.source.name for job in result.jobs], result.skipped) == (['b.jpg'], 1)
    assert len(outputs('in', overwrite=True)) == 2
    # asked for later, the comparison is still made, and the result left alone
    job = plan(['in/a.jpg'], Path('out'), compare=True, overwrite=False).jobs[0]
    assert job.output is None
    assert job.compare == Path('out/a.jpg.compare.png')


def link_folder(folder):
    os.symlink(folder, 'out')


def link_file(folder):
    os.mkdir('out')
    os.symlink(folder / 'a.jpg', 'out/a.jpg')


def hard_link(folder):
    os.mkdir('out')
    os.link(folder / 'a.jpg', 'out/a.jpg')


@pytest.mark.parametrize('link', [link_folder, link_file, hard_link])
@pytest.mark.parametrize('overwrite', [True, False])
def test_an_input_is_never_an_output(here, link, overwrite):
    make('in/a.jpg')
    link(here / 'in')
    with pytest.raises(ColorizeError, match=r'out/a\.jpg is an input'):
        outputs('in', overwrite=overwrite)


def test_the_input_folder_as_output(here):
    make('in/a.bmp', 'in/b.jpg')
    with pytest.raises(ColorizeError, match=r'in/b\.jpg is an input'):
        outputs('in', out='in', overwrite=True)
    # also where it is the result of another input
    make('x/c.bmp', 'x/c.png')
    with pytest.raises(ColorizeError, match=r'x/c\.png is an input'):
        outputs('x/c.png', 'x/c.bmp', out='x', overwrite=True)
    # a result beside its input is fine
    assert outputs('in/a.bmp', out='in') == {'in/a.bmp': 'in/a.png'}


def test_unreadable_inputs_are_reported(here):
    make('in/a.jpg')
    Path('in/b.jpg').write_bytes(b'')
    os.symlink('nowhere', 'in/c.jpg')
    result = plan(['in'], Path('out'), compare=False, overwrite=False)
    assert [job.source.name for job in result.jobs] == ['a.jpg']
    assert result.failed == [
        (Path('in/b.jpg'), 'the file is empty'),
        (Path('in/c.jpg'), 'cannot be read: No such file or directory'),
    ]


def test_unreadable_folder_is_reported(here, monkeypatch):
    make('in/a.jpg', 'in/closed/b.jpg')
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('closed'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    result = plan(['in'], Path('out'), compare=False, overwrite=False)
    assert len(result.jobs) == 1
    assert result.failed == [(Path('in/closed'), 'cannot be read: Permission denied')]


def test_check_writable(here):
    check_writable(Path('new/folder'))
    assert os.listdir('new/folder') == []
    make('a.jpg')
    with pytest.raises(ColorizeError, match=r'cannot write to the folder a\.jpg/x: Not a dir'):
        check_writable(Path('a.jpg/x'))
    with pytest.raises(ColorizeError, match=r'cannot write to the folder a\.jpg'):
        check_writable(Path('a.jpg'))


@pytest.mark.parametrize('text', ['in', 'in/**/*.jpg', 'in/**'])
def test_loops_of_links_end(here, text):
    make('in/a.jpg', 'in/x/b.jpg')
    for name in ('in/x/up', 'in/x/again'):
        os.symlink('..', name)
    assert set(outputs(text).values()) == {'out/a.jpg', 'out/x/b.jpg'}


def test_link_to_itself_is_reported(here):
    make('in/a.jpg')
    os.symlink('b.jpg', 'in/b.jpg')
    reason = 'cannot be read: Too many levels of symbolic links'
    for text in ('in', 'in/*.jpg', 'in/**/*.jpg'):
        result = plan([text], Path('out'), compare=True, overwrite=False)
        assert [job.source for job in result.jobs] == [Path('in/a.jpg')]
        assert result.failed == [(Path('in/b.jpg'), reason)]
    assert plan(['in/b.jpg'], Path('out'), False, False).failed == [(Path('in/b.jpg'), reason)]
    assert len(plan(['in/a.jpg'], Path('in/b.jpg/out'), False, False).jobs) == 1


@pytest.mark.parametrize('name', ['x' * 300, 'x' * 300 + '/a.jpg', 'in/' + 'x' * 5000])
def test_name_that_is_too_long_is_reported(here, name):
    make('in/a.jpg')
    result = plan([name, 'in'], Path('out'), compare=False, overwrite=False)
    assert result.failed == [(Path(name), 'cannot be read: File name too long')]
    assert len(result.jobs) == 1
    assert len(plan(['in'], Path(name), compare=True, overwrite=False).jobs) == 1


@pytest.fixture
def nobody():
    """A folder of an unprivileged user, who runs this test."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in folder.rglob('*'):
            path.chmod(0o700)
        shutil.rmtree(folder)


def test_closed_folders_are_reported(nobody, monkeypatch):
    monkeypatch.chdir(nobody)
    make('in/a.jpg', 'in/closed/b.jpg', 'shut/c.jpg')
    Path('in/closed').chmod(0o600)  # its names can be listed, and no file opened
    Path('shut').chmod(0)
    reason = 'cannot be read: Permission denied'
    result = plan(['in', 'shut/c.jpg'], Path('shut/out'), compare=True, overwrite=False)
    assert [job.source for job in result.jobs] == [Path('in/a.jpg')]
    failed = {path.as_posix(): why for path, why in result.failed}
    assert failed.pop('shut/c.jpg') == reason
    assert set(failed) <= {'in/closed', 'in/closed/b.jpg'}
    assert set(failed.values()) == {reason}
    with pytest.raises(ColorizeError, match=r'cannot write to the folder shut/out: Permission'):
        check_writable(Path('shut/out'))
    for name in ('shut/w.safetensors', 'shut/w.pth'):
        with pytest.raises(ColorizeError, match=f'cannot read {name}: Permission denied'):
            load_generator(name)
