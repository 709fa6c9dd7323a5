"""Files in places that fsspec serves, such as s3://bucket/photos.

A remote file has a `Path` like a local one; in it, pathlib has joined the two slashes of the URL.
"""

import contextlib
import os
import re
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import ColorizeError, reason_of
from .libraries import library

# A single letter is a drive of Windows. The last folder of a URL is the root of its service.
_URL = re.compile(r'[a-z][a-z0-9+.-]+:([/\\]|$)', re.IGNORECASE)
# In an object store, a file appears when it is complete. Elsewhere it is renamed in the end.
_OBJECT_STORES = {'abfs', 'abfss', 'az', 'gcs', 'gs', 'hf', 'memory', 'oci', 'oss', 's3', 's3a'}

_WITH_BUCKETS = {'gcs:', 'gs:', 's3:', 's3a:'}
_BLOCK = 2**16  # bytes that are read at once, enough for most headers
_UNREADABLE = 'cannot be read'


def scratch_name(suffix: str = '') -> str:
    """Return a new name for a temporary file beside the file that is being written.

    It is hidden, so that other programs ignore it, and short, because the other name may be as long
    as the system allows. It has no number of a process, which one on another machine can have, too.
    """
    return f'.colorize-{uuid.uuid4().hex}.tmp{suffix}'


def local_name(text: str) -> str:
    """Return the path in a URL of the local file system, and any other text unchanged."""
    return re.sub('^(file|local)://', '', text)


def is_remote(path: str | Path) -> bool:
    """Return whether a path is a URL."""
    return _URL.match(str(path)) is not None


def as_local(path: str | Path) -> Path:
    """Return a local file or folder as a path that is not taken for a URL, nor the files in it.

    In `./s3:/photo.jpg`, the folder has the name of a service, and `Path` drops the `./`.
    """
    path = Path(path)
    return Path(os.path.abspath(path)) if is_remote(path / 'file') else path


def url_of(path: str | Path) -> str:
    """Return the URL of a remote file; the path of a local one is unchanged."""
    return re.sub(':/?', '://', Path(path).as_posix(), count=1) if is_remote(path) else str(path)


@contextlib.contextmanager
def _driver(path: Path, problem: str) -> Iterator[tuple[Any, str]]:
    """Give the file system of a remote path, and the name of the file there.

    Raises:
        ColorizeError: in place of all errors. The message states the problem and the reason.
    """
    url = url_of(path)
    if '::' in url:
        raise ColorizeError(
            f'{problem}: a URL with "::", such as that of a file in an archive, is not supported: '
            'unpack the archive, or rename the file'
        )
    core = library('fsspec.core', url, 'fsspec')
    try:
        yield core.url_to_fs(url)
    except Exception as error:  # drivers raise the errors of their libraries
        raise ColorizeError(f'{problem}: {reason_of(error)}') from error


def kind_of(path: Path) -> str | None:
    """Return 'file' or 'directory'; None if a remote file does not exist.

    Raises:
        ColorizeError: if the place cannot be reached, or fsspec needs another driver for it.
    """
    with _driver(path, f'{url_of(path)} cannot be reached') as (files, name):
        try:
            return files.info(name)['type']
        except FileNotFoundError:
            return None


def check_place(folder: Path) -> None:
    """Check that files can be written to a remote folder, which does not need to exist.

    Raises:
        ColorizeError: if the place cannot be reached or written to, or the bucket does not exist.
    """
    bucket = Path(*folder.parts[:2])
    known = kind_of(folder) or folder.parts[0] not in _WITH_BUCKETS
    if not (known or kind_of(bucket)):
        raise ColorizeError(f'the bucket {url_of(bucket)} does not exist')
    with _driver(folder, f'cannot write to the folder {url_of(folder)}') as (files, name):
        if not _is_object_store(folder):
            files.makedirs(name, exist_ok=True)
        if folder.parts[0] == 'hf:':
            return  # each file would be a commit
        probe = f'{name.rstrip("/")}/{scratch_name()}'
        files.pipe_file(probe, b'')
        with contextlib.suppress(Exception):  # some may write, but not remove
            files.rm_file(probe)


def _is_object_store(path: Path) -> bool:
    return url_of(path).partition(':')[0] in _OBJECT_STORES


def exists(path: Path) -> bool:
    """Return whether a file or a link exists, or a remote file."""
    return kind_of(path) is not None if is_remote(path) else os.path.lexists(path)


def remote_folders_below(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a remote folder and its subfolders like `walk.folders_below`.

    Raises:
        ColorizeError: if a folder cannot be read.
    """
    with _driver(folder, f'{url_of(folder)} cannot be read') as (files, root):
        for parent, folders, names in files.walk(root, detail=True, on_error='raise'):
            seen = {name: folders[name] for name in sorted(folders) if not name.startswith('.')}
            folders.clear()
            folders.update(seen)  # only these are searched, in this order
            below = url_of(folder / parent[len(root) :].strip('/'))
            yield below, sorted(name for name in names if name and not name.startswith('.'))
        files.invalidate_cache()  # of the names of a million files


def check_regular(path: Path) -> None:
    """Check that a local file is no pipe or device, which could be waited for without end.

    Raises:
        OSError: if there is no such file.
        ColorizeError: if it is not a regular file. The message does not name it.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ColorizeError('it is not a regular file')


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; of a remote one, only the parts that are read are transferred.

    Raises:
        OSError: if a local file cannot be read.
        ColorizeError: if a remote file cannot be read, or a local one is not a regular file. The
            message does not name the file.
    """
    if not is_remote(path):
        check_regular(path)
        return path.open('rb')
    with _driver(path, _UNREADABLE) as (files, name):
        return files.open(name, 'rb', block_size=_BLOCK)


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Give a local file with the content of a file: a temporary copy if that is remote.

    Raises:
        ColorizeError: as `open_binary`.
    """
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix='colorize-') as folder:
        copy = Path(folder, f'copy{path.suffix}')
        with _driver(path, _UNREADABLE) as (files, name):
            files.get_file(name, str(copy))
        yield copy


def upload(local: Path, path: Path) -> None:
    """Copy a local file to a remote place, where it appears when it is complete.

    Raises:
        ColorizeError: if it cannot be written. The message does not name the file.
    """
    with _driver(path, 'the result cannot be written') as (files, name):
        if _is_object_store(path):
            files.put_file(str(local), name)
            return
        folder, slash, _ = name.rpartition('/')
        if folder:
            files.makedirs(folder, exist_ok=True)
        temporary = f'{folder}{slash}{scratch_name()}'
        try:
            files.put_file(str(local), temporary)
            files.mv(temporary, name)
        except BaseException:
            with contextlib.suppress(Exception):
                files.rm_file(temporary)
            raise
