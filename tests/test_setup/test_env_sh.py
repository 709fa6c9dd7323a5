"""Test tools/env.sh with the real pip and uv and a small local package index."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from package_index import fill, served, write_mmcv_sdist, write_wheel
from processes import PATIENCE, wait_until

pytest.importorskip('uv')
ROOT = Path(__file__).resolve().parents[2]
VERSION = f'{sys.version_info.major}.{sys.version_info.minor}'
USAGE = 'env.sh: usage: bash tools/env.sh core|full|onedl|web\n'


@pytest.fixture(scope='module')
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheels')
    fill(folder, ROOT / 'requirements')
    return folder


def script(path: Path, code: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n{code}\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope='module')
def python_that_copies(tmp_path_factory, wheels):
    """A Python whose `-m venv` copies an environment with uv; pip takes 10 s to make one."""
    folder = tmp_path_factory.mktemp('python')
    subprocess.run([sys.executable, '-m', 'venv', folder / 'venv'], check=True)
    pip = [folder / 'venv' / 'bin' / 'python', '-m', 'pip', 'install', '--no-index', '-f', wheels]
    subprocess.run([*pip, '-r', ROOT / 'requirements' / 'uv.txt'], check=True)
    return script(
        folder / 'python',
        f'case "$*" in\n'
        f'  "-m venv "*) exec cp -R "{folder}/venv/." "$3" ;;\n'
        f'  *sys.executable*) echo {VERSION} "$0" ;;\n'
        f'  *) exec "{sys.executable}" "$@" ;;\n'
        f'esac',
    )


class Clone:
    """A small clone with the set-up and requirements of the project and its own environment."""

    def __init__(self, folder: Path, links: str):
        self.folder = folder
        self.root = folder / 'a clone of R&D'
        self.env = folder / 'an env'
        for name in ('tools', 'requirements'):
            shutil.copytree(ROOT / name, self.root / name)
        for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE'):
            shutil.copy(ROOT / name, self.root)
        package = self.root / 'dualattn_mm'
        package.mkdir()
        shutil.copy(ROOT / 'dualattn_mm' / 'version.py', package)
        (package / '__init__.py').touch()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(('PIP_', 'UV_', 'PYTEST'))},
            'DUALATTN_ENV': str(self.env),
            'PYTHON': sys.executable,
            'PIP_FIND_LINKS': links,
            'PIP_NO_INDEX': '1',
            'PIP_NO_CACHE_DIR': '1',
            'PIP_DISABLE_PIP_VERSION_CHECK': '1',
            'UV_CACHE_DIR': str(folder / 'uv cache'),
        }
        self.started = []

    def start(self, *args, **environment):
        environment = {**self.environment, **{k: str(v) for k, v in environment.items()}}
        said = [self.folder / f'{kind}{len(self.started)}' for kind in ('stdout', 'stderr')]
        with said[0].open('wb') as out, said[1].open('wb') as err:
            process = subprocess.Popen(
                ['bash', self.root / 'tools' / 'env.sh', *args],
                env={key: value for key, value in environment.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # A suite that runs in the background has SIGINT ignored, and would pass that on.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        process.said = said
        self.started.append(process)
        return process

    def run(self, *args, **environment):
        return finish(self.start(*args, **environment))

    def imports(self, modules: str) -> str:
        """Import `modules` in the environment; return the folder of its `dualattn_mm`."""
        code = f'import {modules}, dualattn_mm; print(dualattn_mm.__path__[0])'
        command = [self.env / 'bin' / 'python', '-c', code]
        return subprocess.check_output(command, cwd=self.folder, text=True).strip()


def finish(process):
    process.wait(PATIENCE)
    said = (path.read_text() for path in process.said)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def says(process, text: str) -> bool:
    ended = process.poll() is not None
    said = process.said[1].read_text()
    assert text in said or not ended, said
    return text in said


def assert_ready_and_silent(clone: Clone, *wants: str):
    for want in wants:
        done = clone.run(want)
        assert (done.returncode, done.stderr) == (0, '')
        assert done.stdout == f'{clone.env}/bin/python\n'


@pytest.fixture
def clone(tmp_path, wheels):
    clone = Clone(tmp_path, str(wheels))
    yield clone
    for process in clone.started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()


@pytest.fixture
def quick_venv(clone, python_that_copies):
    clone.environment['PYTHON'] = str(python_that_copies)


@pytest.fixture
def server(clone, wheels):
    """Serve the index over HTTP; the server can stop in the middle of a file."""
    with served(wheels) as (address, state):
        clone.environment['PIP_FIND_LINKS'] = address
        yield state


# ---- without an installation ----


@pytest.mark.parametrize('args', [(), ('cores',), ('core', 'full')])
def test_env_sh_wrong_argument(clone, args):
    done = clone.run(*args)
    assert (done.returncode, done.stdout, done.stderr) == (2, '', USAGE)


@pytest.mark.parametrize(
    ('want', 'version', 'wanted'),
    [('core', '3.9', '3.11, 3.12, 3.10, 3.13, 3.14'), ('full', '3.14', '3.11, 3.12, 3.10')],
)
def test_env_sh_wrong_python_is_reported_in_one_line(clone, want, version, wanted):
    python = script(clone.folder / 'fake' / 'python', f'echo {version} "$0"')
    done = clone.run(want, PYTHON=python)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        f'env.sh: {want} needs Python {wanted} ({python} is {version}): set PYTHON to one of them\n'
    )
    assert not clone.env.exists()


def test_env_sh_leaves_a_folder_with_other_things_alone(clone):
    clone.env.mkdir()
    (clone.env / 'thesis.tex').write_text('mine')
    done = clone.run('core')
    assert (done.returncode, done.stdout) == (1, '')
    assert len(done.stderr.splitlines()) == 1
    assert 'DUALATTN_ENV' in done.stderr
    assert [path.name for path in clone.env.iterdir()] == ['thesis.tex']


def test_env_sh_leaves_the_environment_of_another_set_alone(clone):
    stamp = clone.env / '.setup' / 'all'
    stamp.parent.mkdir(parents=True)
    stamp.write_text(f'py{VERSION}-1\n')
    done = clone.run('web')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        f'env.sh: {clone.env} is the environment of another set (py{VERSION}-1): set DUALATTN_ENV '
        'to another folder\n'
    )
    assert stamp.exists()


def test_env_sh_without_home_names_the_remedy(clone):
    done = clone.run('core', HOME='', XDG_CACHE_HOME='', DUALATTN_ENV='')
    assert done.returncode == 1
    assert done.stderr == (
        'env.sh: HOME is not set: set DUALATTN_ENV to the folder of the environment\n'
    )


# ---- whole set-ups ----


@pytest.mark.slow
def test_env_sh_without_network_is_reported_in_one_line(clone):
    nobody = 'http://127.0.0.1:9/simple'
    done = clone.run('core', PIP_INDEX_URL=nobody, PIP_NO_INDEX='', PIP_FIND_LINKS='')
    assert (done.returncode, done.stdout) == (1, '')
    last = 'env.sh: the package index cannot be reached (no network?)'
    assert done.stderr.splitlines()[-1] == last
    assert all(line.startswith('env.sh: ') for line in done.stderr.splitlines())


@pytest.mark.slow
def test_env_sh_core_then_full_then_nothing_to_do(clone):
    """The first Python on PATH is a shim of pyenv that does not work; HOME sets the folder."""
    shims = clone.folder / 'shims'
    script(shims / 'python3', 'exit 127')
    script(shims / f'python{VERSION}', f'exec "{sys.executable}" "$@"')
    home = clone.folder / 'a home'
    clone.environment |= {
        'PYTHON': '',
        'PATH': f'{shims}:/usr/bin:/bin',
        'HOME': str(home),
        'XDG_CACHE_HOME': '',
        'DUALATTN_ENV': '',
    }
    first = clone.run('core')
    assert first.returncode == 0, first.stderr
    python = Path(first.stdout.removesuffix('\n'))
    clone.env = python.parents[1]
    assert clone.env.parent == home / '.cache' / 'dualattn_mm'
    assert clone.env.name.startswith(f'py{VERSION}-')
    assert clone.imports('torch, cv2, lpips') == str(clone.root / 'dualattn_mm')
    assert_ready_and_silent(clone, 'core')

    write_mmcv_sdist(home, clone.folder / 'no file')
    clone.environment['PIP_FIND_LINKS'] += f' {home.as_uri()}'
    full = clone.run('full')
    assert full.returncode == 0, full.stderr
    assert 'a new virtual environment' not in full.stderr
    assert clone.imports('mmcv.ops, mmagic.models, spconv') == str(clone.root / 'dualattn_mm')
    assert_ready_and_silent(clone, 'core', 'full')
    assert len(list(clone.env.parent.glob('mmcv*/mmcv-*.whl'))) == 1  # for the next environment

    # Another clone with the same requirements takes over the environment in one step.
    other = clone.folder / 'another clone'
    shutil.copytree(clone.root, other)
    clone.root = other
    moved = clone.run('core')
    assert 'torch' not in moved.stderr
    assert clone.imports('torch') == str(other / 'dualattn_mm')

    # Other requirements make another environment.
    core = other / 'requirements' / 'core.txt'
    core.write_text(core.read_text() + 'psutil\n')
    process = clone.start('core')
    wait_until(lambda: says(process, 'a new virtual environment'), 'a new environment')
    assert f'{clone.env} ' not in process.said[1].read_text()


@pytest.mark.slow
@pytest.mark.usefixtures('quick_venv')
def test_env_sh_takes_the_best_version_of_all_indexes(clone, wheels):
    """A company's or PyTorch's own index can have old versions of common packages."""
    index, extra = (clone.folder / name for name in ('index', 'extra'))
    for wheel in wheels.glob('*.whl'):
        project = index / wheel.name.split('-')[0].lower().replace('_', '-')
        project.mkdir(parents=True)
        shutil.copy(wheel, project)
    (extra / 'tqdm').mkdir(parents=True)
    write_wheel(extra / 'tqdm', 'tqdm', '0.1', {'tqdm.py': ''})
    environment = dict(PIP_NO_INDEX='', PIP_FIND_LINKS='')
    with served(index) as (url, _), served(extra) as (more, state):
        done = clone.run('core', PIP_INDEX_URL=url, PIP_EXTRA_INDEX_URL=more, **environment)
    assert done.returncode == 0, done.stderr
    assert 'tqdm-0.1-py3-none-any.whl' not in state.requested


@pytest.mark.slow
@pytest.mark.usefixtures('quick_venv')
@pytest.mark.parametrize('sign', [signal.SIGINT, signal.SIGKILL])
def test_env_sh_stopped_while_downloading_is_not_taken_for_done(clone, server, sign):
    server.on_hold = 'mmengine'
    process = clone.start('core')
    wait_until(server.stopped.is_set, 'half of a wheel is loaded')
    process.send_signal(sign)
    if sign != signal.SIGKILL:
        done = finish(process)
        assert done.returncode == 130
        assert 'interrupted' in done.stderr
    (clone.env / 'half-made').touch()

    if sign != signal.SIGKILL:
        server.released.set()
    next_one = clone.start('core')
    if sign == signal.SIGKILL:  # uv continues, and the next call waits until it ends
        wait_until(lambda: says(next_one, 'waiting for another set-up'), 'the next call waits')
        server.released.set()
    else:
        wait_until(lambda: says(next_one, 'torch and the other core'), 'it begins anew')
        assert not (clone.env / 'half-made').exists()
        return
    done = finish(next_one)
    assert done.returncode == 0, done.stderr
    assert clone.imports('torch, mmengine.runner') == str(clone.root / 'dualattn_mm')
    assert not (clone.env / 'half-made').exists()


@pytest.mark.slow
@pytest.mark.usefixtures('quick_venv')
def test_env_sh_builds_mmcv_where_no_wheel_fits(clone):
    hold = clone.folder / 'hold'
    links = clone.folder / 'sdist'
    links.mkdir()
    write_mmcv_sdist(links, hold)
    # A wheel whose ops cannot be loaded, for example one for another torch, is not used.
    broken = {'mmcv/__init__.py': '', 'mmcv/ops.py': 'raise ImportError("undefined symbol")\n'}
    write_wheel(links, 'mmcv', '2.1.0', broken)
    clone.environment['PIP_FIND_LINKS'] += f' {links.as_uri()}'
    done = clone.run('full', CXX='no-such-compiler')
    assert (done.returncode, done.stdout) == (1, '')
    error, last = done.stderr.splitlines()[-2:]
    assert error.startswith('error: building mmcv needs a C++ compiler (c++): install it, or set')
    assert last == 'env.sh: failed: installing mmcv with its ops'
    assert_ready_and_silent(clone, 'core')

    hold.touch()
    process = clone.start('full')
    wait_until(lambda: says(process, 'compiled 10/10'), 'mmcv is being built')
    process.send_signal(signal.SIGINT)
    assert finish(process).returncode == 130
    assert_ready_and_silent(clone, 'core')

    hold.unlink()
    done = clone.run('full')
    assert done.returncode == 0, done.stderr
    assert 'a new virtual environment' not in done.stderr
    assert 'no mmcv wheel fits: building its ops takes about 10 minutes' in done.stderr
    clone.imports('mmcv.ops')

    # After a change of the requirements, the wheel that was built before is used.
    tests = clone.root / 'requirements' / 'tests.txt'
    tests.write_text(tests.read_text() + 'psutil\n')
    done = clone.run('full')
    assert done.returncode == 0, done.stderr
    assert 'a new virtual environment' in done.stderr
    assert 'no mmcv wheel fits' not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures('quick_venv')
def test_env_sh_twice_at_once_installs_once(clone, server):
    server.on_hold = 'mmengine'
    processes = [clone.start('core') for _ in range(2)]
    wait_until(server.stopped.is_set, 'half of a wheel is loaded')
    waiting = 'waiting for another set-up'
    wait_until(lambda: any(says(process, waiting) for process in processes), 'one waits')
    server.released.set()
    done = [finish(process) for process in processes]
    assert [one.stdout for one in done] == [f'{clone.env}/bin/python\n'] * 2
    assert sum('a new virtual environment' in one.stderr for one in done) == 1
    assert sum(waiting in one.stderr for one in done) == 1
