import os
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from dualattn_mm.apis import ColorizeError, load_generator
from dualattn_mm.apis.files import Plan
from dualattn_mm.apis.sources import find_sources
from dualattn_mm.utils.atomic import check_writable
from dualattn_mm.utils.remote import is_remote


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


class Planned:
    """Everything that a plan says of some inputs."""

    def __init__(self, *inputs, compare=False, overwrite=False, out='out', by_number=False):
        sources = find_sources(inputs, Path(out), by_number)
        self.plan = Plan(sources, Path(out), compare, overwrite)
        self.failed = list(sources.failed)
        self.jobs = list(self.plan.jobs(lambda *failure: self.failed.append(failure)))
        self.skipped = self.plan.skipped


def outputs(*inputs, **options):
    """Return the outputs by source, as strings."""
    result = Planned(*inputs, **options)
    assert not result.failed
    return {str(job.source): job.output and job.output.as_posix() for job in result.jobs}


def failures(*inputs, **options):
    """Return the reasons of the failed files by path."""
    return {path.as_posix(): str(reason) for path, reason in Planned(*inputs, **options).failed}


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


@pytest.mark.parametrize(
    ('folder', 'text', 'out', 'result'),
    [
        ('.', './in', '.', 'ftp:/host/a.jpg'),
        ('.', './in/ftp:', '.', 'host/a.jpg'),
        ('.', 'in/f*/**/*.jpg', '.', 'ftp:/host/a.jpg'),
        ('in', '.', 'out', 'out/ftp:/host/a.jpg'),
        ('in', './ftp:', 'out', 'out/host/a.jpg'),
        ('in', './ftp:/host/a.jpg', '.', 'a.jpg'),
        ('in', 'f*/**/*.jpg', 'out', 'out/ftp:/host/a.jpg'),
    ],
)
def test_a_folder_with_the_name_of_a_service_is_local(here, folder, text, out, result, monkeypatch):
    make('in/ftp:/host/a.jpg')
    monkeypatch.chdir(here / folder)
    monkeypatch.setattr('dualattn_mm.utils.remote.library', None)  # it would import fsspec
    plan = Plan(find_sources([text], Path(out)), Path(out), False, False)
    [job] = plan.jobs(pytest.fail)
    assert job.source.samefile(here / 'in/ftp:/host/a.jpg')
    assert os.path.abspath(job.output) == os.path.abspath(result)
    assert not is_remote(job.source)
    assert not is_remote(job.output)


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
        find_sources(['in', text], Path('out'))


def test_two_inputs_for_one_output(here):
    make('in/a.bmp', 'in/a.png', 'in/a-b.png', 'other/a.png')
    first = 'in/a.bmp would also be saved as out/a.png: rename one of them'
    assert failures('in') == {'in/a.png': first}
    assert failures('in', 'other') == {'in/a.png': first, 'other/a.png': first}
    assert failures('other', 'in/a.png') == {
        'in/a.png': 'other/a.png would also be saved as out/a.png: rename one of them'
    }
    # a name without a dot is not beside the others in the order of names
    Path('in/a.bmp').rename('a')
    assert failures('in', 'a') == {
        'in/a.png': 'a would also be saved as out/a.png: rename one of them'
    }
    # also where the result of the first file exists
    make('out/a.png')
    result = Planned('in', 'a')
    assert (result.skipped, [job.source.name for job in result.jobs]) == (1, ['a-b.png'])
    assert len(result.failed) == 1


def test_one_input_twice_is_one(here):
    make('in/a.jpg')
    os.symlink('in', 'link')
    assert len(outputs('in', 'in/a.jpg', 'in/*', str(here / 'in'), 'link')) == 1


def test_compare_files(here):
    make('in/a.jpg', 'in/a.png')
    jobs = Planned('in', compare=True).jobs
    assert [job.compare.as_posix() for job in jobs] == [
        'out/a.jpg.compare.png',
        'out/a.png.compare.png',
    ]
    make('in/a.jpg.compare.png')
    assert failures('in', compare=True) == {
        'in/a.jpg.compare.png': 'in/a.jpg would also be saved as out/a.jpg.compare.png: '
        'rename one of them'
    }


def test_existing_results_are_skipped(here):
    make('in/a.jpg', 'in/b.jpg', 'out/a.jpg')
    result = Planned('in')
    assert ([job.source.name for job in result.jobs], result.skipped) == (['b.jpg'], 1)
    assert len(outputs('in', overwrite=True)) == 2
    # asked for later, the comparison is still made, and the result left alone
    (job,) = Planned('in/a.jpg', compare=True).jobs
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


@pytest.mark.parametrize('link', [link_file, hard_link])
@pytest.mark.parametrize('overwrite', [True, False])
def test_an_input_is_never_an_output(here, link, overwrite):
    make('in/a.jpg', 'in/b.jpg')
    link(here / 'in')
    reason = 'out/a.jpg is an input and would be overwritten: change -o'
    assert failures('in', overwrite=overwrite) == {'in/a.jpg': reason}


@pytest.mark.parametrize('overwrite', [True, False])
def test_the_input_folder_as_output(here, overwrite):
    make('in/a.bmp', 'in/b.jpg')
    link_folder(here / 'in')
    for folder, inputs in (('in', ['in']), ('out', ['in']), ('in', ['in/b.jpg'])):
        with pytest.raises(ColorizeError, match=rf'{folder}/b\.jpg is an input'):
            outputs(*inputs, out=folder, overwrite=overwrite)
    with pytest.raises(ColorizeError, match=r'in/b\.jpg is an input'):
        outputs('in/b.jpg', out='in/b.jpg', overwrite=overwrite)
    # a result beside its input is fine
    assert outputs('in/a.bmp', out='in') == {'in/a.bmp': 'in/a.png'}


def test_a_result_that_is_another_input(here):
    make('x/c.png', 'y/c.bmp', 'z/d.jpg')
    os.symlink('../x/c.png', 'z/link.png')
    inputs = ['y', 'z']
    assert failures(*inputs, out='x', overwrite=True) == {
        'y/c.bmp': 'x/c.png is an input and would be overwritten: change -o'
    }
    assert Planned(*inputs, out='x').skipped == 1


def test_unreadable_inputs_are_reported(here):
    make('in/a.jpg')
    Path('in/b.jpg').write_bytes(b'')
    os.symlink('nowhere', 'in/c.jpg')
    result = Planned('in')
    assert [job.source.name for job in result.jobs] == ['a.jpg']
    assert failures('in') == {
        'in/b.jpg': 'the file is empty',
        'in/c.jpg': 'cannot be read: No such file or directory',
    }


@pytest.fixture
def closed(monkeypatch):
    """Folders with `closed` at the end of their names cannot be read."""
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('closed'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)


@pytest.mark.parametrize('text', ['in', 'in/**/*.jpg', 'in/**', 'in/*/*.jpg', 'in/[a-c]*/*'])
def test_unreadable_folder_is_reported(here, closed, text):
    make('in/a/a.jpg', 'in/closed/b.jpg', 'in/.closed/c.jpg')
    result = Planned(text)
    assert len(result.jobs) == 1
    assert result.failed == [(Path('in/closed'), 'cannot be read: Permission denied')]


@pytest.mark.parametrize('text', ['in/*.jpg', 'in/a/**', 'in/a*/**/*.jpg'])
def test_unreadable_folder_without_matches_is_not_searched(here, closed, text):
    make('in/a.jpg', 'in/a/a.jpg', 'in/closed/b.jpg')
    result = Planned(text)
    assert len(result.jobs) == 1
    assert not result.failed


def test_patterns_follow_links_unless_they_have_any_depth(here):
    make('in/a.jpg', 'far/b.jpg')
    os.symlink('../far', 'in/link')
    assert set(outputs('in/*/*.jpg').values()) == {'out/link/b.jpg'}
    assert set(outputs('in/link*/*').values()) == {'out/link/b.jpg'}
    assert set(outputs('in/**/*.jpg').values()) == {'out/a.jpg'}


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
        result = Planned(text, compare=True)
        assert [job.source for job in result.jobs] == [Path('in/a.jpg')]
        assert [(path, str(why)) for path, why in result.failed] == [(Path('in/b.jpg'), reason)]
    assert failures('in/b.jpg') == {'in/b.jpg': reason}
    assert len(Planned('in/a.jpg', out='in/b.jpg/out').jobs) == 1


@pytest.mark.parametrize('name', ['x' * 300, 'x' * 300 + '/a.jpg', 'in/' + 'x' * 5000])
def test_name_that_is_too_long_is_reported(here, name):
    make('in/a.jpg')
    result = Planned(name, 'in')
    assert result.failed == [(Path(name), 'cannot be read: File name too long')]
    assert len(result.jobs) == 1
    assert len(Planned('in', out=name, compare=True).jobs) == 1


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


def test_closed_folders_are_reported(monkeypatch, nobody):  # the chdir back is done as root
    monkeypatch.chdir(nobody)
    make('in/a.jpg', 'in/closed/b.jpg', 'shut/c.jpg')
    Path('in/closed').chmod(0o600)  # its names can be listed, and no file opened
    Path('shut').chmod(0)
    reason = 'cannot be read: Permission denied'
    result = Planned('in', 'shut/c.jpg', out='shut/out', compare=True)
    assert [job.source for job in result.jobs] == [Path('in/a.jpg')]
    failed = {path.as_posix(): str(why) for path, why in result.failed}
    assert failed.pop('shut/c.jpg') == reason
    assert set(failed) <= {'in/closed', 'in/closed/b.jpg'}
    assert set(failed.values()) == {reason}
    with pytest.raises(ColorizeError, match=r'cannot write to the folder shut/out: Permission'):
        check_writable(Path('shut/out'))
    for name in ('shut/w.safetensors', 'shut/w.pth'):
        with pytest.raises(ColorizeError, match=f'cannot read {name}: Permission denied'):
            load_generator(name)


def test_headers_are_read_when_it_is_their_turn(here):
    make('in/a.jpg', 'in/b.jpg')
    jobs = Plan(find_sources(['in'], Path('out')), Path('out'), False, False).jobs(pytest.fail)
    assert next(jobs).output == Path('out/a.jpg')
    Image.new('L', (3, 4)).save('in/b.jpg', 'PNG')
    job = next(jobs)
    assert (job.format, job.pixels, job.output) == ('PNG', 12, Path('out/b.png'))


def test_results_of_earlier_runs_are_skipped_without_reading(here):
    make('in/a.jpg', 'out/a.jpg')
    Path('in/a.jpg').write_bytes(b'')
    result = Planned('in')
    assert (result.jobs, result.skipped, result.plan.total) == ([], 1, 0)
    assert failures('in', overwrite=True) == {'in/a.jpg': 'the file is empty'}


def test_files_in_the_order_of_their_numbers(here):
    make('in/2.png', 'in/10.png', 'in/01.png', 'in/a/3.png', 'in/1.png')
    names = [job.source.as_posix() for job in Planned('in', by_number=True).jobs]
    assert names == ['in/01.png', 'in/1.png', 'in/2.png', 'in/10.png', 'in/a/3.png']


@pytest.mark.parametrize('out', ['new.mpg', 'new.TS', 'new.wmv'])
def test_output_with_the_suffix_of_another_film_is_no_folder(here, out):
    make('a.jpg')
    with pytest.raises(ColorizeError, match=rf'^cannot write {out}: .* one of \.mp4, .*\.webm$'):
        Planned('a.jpg', out=out)
    os.mkdir(out)
    assert outputs('a.jpg', out=out) == {'a.jpg': f'{out}/a.jpg'}
