"""A package index on this machine, for real installations by pip and uv that take seconds.

Its torch, mmcv and the like are packages of a few bytes; uv and setuptools are those that run here.
"""

import io
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

# The modules that tools/env.sh and tools/install_mmcv.py import, by distribution.
TORCH = """
from types import SimpleNamespace
__version__ = '{version}'
version = SimpleNamespace(cuda=None)
cuda = SimpleNamespace(is_available=lambda: False)
tensor = ones = lambda *args: args
"""
OPS = 'nms = print\ndef get_compiling_cuda_version():\n    return "not available"\n'
MODULES = {
    'torch': {'torch/__init__.py': TORCH},
    'mmengine': {'mmengine/__init__.py': '', 'mmengine/runner.py': ''},
    'opencv-python': {'cv2.py': ''},
    'scikit-image': {'skimage.py': ''},
    'mmcv': {'mmcv/__init__.py': '', 'mmcv/ops.py': OPS},
    **{
        name: {f'{name}/__init__.py': '', f'{name}/models.py': ''}
        for name in ('mmagic', 'mmpretrain', 'mmdet', 'mmdet3d')
    },
}
MMCV_SETUP = """
import os, time
from setuptools import setup
assert os.environ['MMCV_WITH_OPS'] == '1' and os.environ['FORCE_CUDA'] == '0'
print('[10/10] c++ ops.cpp', flush=True)
while os.path.exists({hold!r}):
    time.sleep(0.05)
setup(name='mmcv', version='2.1.0', packages=['mmcv'])
"""


def read_requirements(path: Path) -> list[Requirement]:
    lines = (line.split('#')[0].strip() for line in path.read_text(encoding='utf-8').splitlines())
    return [Requirement(line) for line in lines if line]


def canonical(name: str) -> str:
    return name.lower().replace('_', '-')


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes | str]) -> Path:
    """A pure wheel with these files."""
    stem = f'{name.replace("-", "_")}-{version}'
    info = f'{stem}.dist-info'
    files = {
        **files,
        f'{info}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n',
        f'{info}/WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    }
    path = folder / f'{stem}-py3-none-any.whl'
    record = ''.join(f'{name},,\n' for name in [*files, f'{info}/RECORD'])
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in {**files, f'{info}/RECORD': record}.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100755 if '.data/scripts/' in name else 0o100644) << 16
            archive.writestr(member, data)
    return path


def repack(folder: Path, name: str) -> None:
    """Make a wheel of an installed package."""
    found = distribution(name)
    files = {}
    for path in found.files:
        if '.dist-info/' not in str(path) or path.name == 'entry_points.txt':
            scripts = f'{name}-{found.version}.data/scripts'
            key = f'{scripts}/{path.name}' if path.parts[0] == '..' else path.as_posix()
            if path.suffix != '.pyc':
                files[key] = path.locate().read_bytes()
    write_wheel(folder, found.metadata['Name'], found.version, files)


def write_mmcv_sdist(folder: Path, hold: Path) -> None:
    """An sdist of mmcv whose build waits while the file `hold` exists."""
    files = {
        'setup.py': MMCV_SETUP.format(hold=str(hold)),
        'PKG-INFO': 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n',
        **MODULES['mmcv'],
    }
    with tarfile.open(folder / 'mmcv-2.1.0.tar.gz', 'w:gz') as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f'mmcv-2.1.0/{name}')
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def fill(folder: Path, requirements: Path) -> None:
    """Wheels of all that these requirements name, in the versions of the lock file."""
    lock = read_requirements(requirements / 'lock-py311.txt')
    versions = {canonical(r.name): str(r.specifier).removeprefix('==') for r in lock}
    names = {
        requirement.name
        for path in requirements.glob('*.txt')
        if not path.name.startswith(('lock', 'onedl', 'uv', 'web', 'mmcv'))
        for requirement in read_requirements(path)
    }
    for name in names - {'setuptools'} | {'ninja', 'psutil'}:
        version = versions[canonical(name)]
        files = MODULES.get(name, {f'{name.replace("-", "_")}.py': ''})
        files = {key: text.replace('{version}', version) for key, text in files.items()}
        write_wheel(folder, name, version, files)
    for name in ('uv', 'setuptools'):
        repack(folder, name)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, server_state, **kwargs):
        self.state = server_state
        super().__init__(*args, **kwargs)

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        """Half of a file on hold, and the rest when it is released."""
        data = source.read()
        self.state.requested.append(Path(self.path).name)
        half = len(data) // 2
        outputfile.write(data[:half])
        outputfile.flush()
        if self.state.on_hold in self.path:
            self.state.stopped.set()
            self.state.released.wait()
        outputfile.write(data[half:])


class State:
    """What the server was asked for, and the file at whose middle it stops."""

    def __init__(self):
        self.requested = []
        self.on_hold = '\0'
        self.stopped = threading.Event()
        self.released = threading.Event()


@contextmanager
def served(folder: Path):
    """Serve the folder on loopback: its address and `State`."""
    state = State()
    handler = partial(_Handler, directory=str(folder), server_state=state)
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/', state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
