"""The set-up script, with a stand-in for pip, and the package as it is installed."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from processes import PATIENCE, wait_until

from dualattn_mm.utils.configs_dir import configs_dir

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    *('mmagic', 'mmpretrain', 'mmdet', 'mmdet3d', 'all', 'mmdet3d-cpu'),
    *('demo', 'benchmark', 'evaluation', 'tests'),
}


# ---- tools/env.sh ----

# Python, except that `-m venv DIR` puts this very script into DIR/bin, that all imports succeed,
# and that pip installs nothing: it notes its call, makes an empty mmcv wheel where one is wanted,
# waits while there is a file `hold`, and fails if its call matches the pattern in `fails`. The ops
# of an mmcv fail to load if the call that installed it matches.
FAKE_PYTHON = """#!/usr/bin/env bash
here={folder}
fails() {{ grep -qe "$(cat "$here/fails")" <<<"$1"; }}
case "$*" in
  '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  '-m pip '*)
    echo $$ >"$here/pid"
    echo "$*" | tee -a "$here/calls"
    while [[ -e $here/hold ]]; do sleep 0.05; done
    if fails "$*"; then exit 1; fi
    while [[ -n ${{1:-}} ]]; do
      case $1 in
        -d | -w) mkdir -p "$2" && touch "$2/mmcv-2.1.0-py3-none-any.whl" ;;
        */mmcv-*.whl) echo "installed: $1" >"$here/mmcv" ;;
      esac
      shift
    done ;;
  '-c import torch; print(torch.__version__)') echo 2.11.0 ;;
  *'import sys; print('*) echo 3.11 "$0" ;;
  '-c import fcntl'*) exec {python} "$@" ;;
  '-c import sys, torch, mmcv.ops'*) exit 1 ;;
  '-c import torch, mmcv.ops'*) if fails "$(cat "$here/mmcv")"; then exit 1; fi ;;
  '-c import '*) ;;
  *) exec {python} "$@" ;;
esac
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Setup:
    """A copy of the set-up's files, a fake Python, and an environment folder with a space in it."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / 'a clone'
        self.env = folder / 'an env'
        for name in ('tools', 'requirements'):
            shutil.copytree(ROOT / name, self.root / name)
        self.python = script(
            folder / 'fake' / 'python3',
            FAKE_PYTHON.format(folder=shlex.quote(str(folder)), python=sys.executable),
        )
        self.started = []
        self.hold = folder / 'hold'
        self.pip_fails('^$')

    def pip_fails(self, where):
        (self.folder / 'fails').write_text(where)

    def calls(self, what='demo.txt'):
        """How many calls of pip contain `what`; by default, those that install the core."""
        path = self.folder / 'calls'
        lines = path.read_text().splitlines() if path.is_file() else []
        return sum(what in line.split(' -c ')[0] for line in lines)

    def start(self, *args, **environment):
        environment = {'DUALATTN_ENV': self.env, 'PYTHON': self.python, **environment}
        said = [self.folder / f'{kind}{len(self.started)}' for kind in ('stdout', 'stderr')]
        with said[0].open('wb') as out, said[1].open('wb') as err:
            process = subprocess.Popen(
                ['bash', self.root / 'tools' / 'env.sh', *args],
                env={**os.environ, **{k: str(v) for k, v in environment.items()}},
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

    def wait_for_pip(self):
        wait_until(lambda: self.calls() > 0, 'a call of pip')


def waits(process):
    """Whether it has said that it waits for another one."""
    return 'waiting for another set-up' in process.said[1].read_text()


def finish(process):
    process.wait(PATIENCE)
    said = (path.read_text() for path in process.said)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


@pytest.fixture
def setup(tmp_path):
    setup = Setup(tmp_path)
    yield setup
    setup.hold.unlink(missing_ok=True)
    for process in setup.started:
        process.kill()
        process.wait()


def test_second_call_does_nothing_and_prints_only_the_path(setup):
    first = setup.run('core')
    assert first.returncode == 0, first.stderr
    assert first.stdout == f'{setup.env}/bin/python\n'
    for number in (1, 2, 3):
        assert f'step {number} of 3' in first.stderr
    assert setup.calls() == 1

    second = setup.run('core')
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, '')
    assert setup.calls() == 1


def test_full_takes_a_wheel_that_fits_and_serves_as_core(setup):
    assert setup.run('core').returncode == 0
    full = setup.run('full')
    assert full.returncode == 0, full.stderr
    assert full.stdout == f'{setup.env}/bin/python\n'
    assert 'step 3 of 3' in full.stderr  # those of core were not done again
    assert (setup.calls(' download '), setup.calls('pip wheel ')) == (1, 0)
    for want in ('core', 'full'):
        done = setup.run(want)
        assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('fails', [' download ', '/found/mmcv'])
def test_full_builds_mmcv_where_no_wheel_fits(setup, fails):
    """Whether there is none, or there is one whose ops do not load."""
    setup.pip_fails(fails)
    done = setup.run('full', CXX='bash')
    assert done.returncode == 0, done.stderr
    assert 'no mmcv wheel fits: building its ops takes about 10 minutes' in done.stderr
    assert setup.calls('pip wheel ') == 1
    assert setup.calls('pip wheel -v --no-deps --no-build-isolation --no-cache-dir') == 1


def test_a_built_mmcv_is_kept_for_the_next_environment(setup):
    setup.pip_fails(' download ')
    for _ in range(2):
        done = setup.run('full', DUALATTN_ENV='', HOME=setup.folder / 'home', CXX='bash')
        assert done.returncode == 0, done.stderr
        tests = setup.root / 'requirements' / 'tests.txt'
        tests.write_text(tests.read_text() + 'coverage\n')
    assert setup.calls('pip wheel ') == 1


def test_missing_compiler_is_one_line_and_leaves_core(setup):
    setup.pip_fails(' download ')
    done = setup.run('full', CXX='no-such-compiler')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'needs a C++ compiler' in done.stderr.splitlines()[-1]
    done = setup.run('core')
    assert (done.returncode, done.stderr) == (0, '')


def test_changed_requirements_renew_a_named_folder(setup):
    assert setup.run('core').returncode == 0
    core = setup.root / 'requirements' / 'core.txt'
    core.write_text(core.read_text() + 'einops\n')
    assert setup.run('core').returncode == 0
    assert setup.calls() == 2


def test_default_folder_is_named_by_requirements_and_python(setup):
    home = setup.folder / 'home'
    paths = [setup.run('core', DUALATTN_ENV='', HOME=home).stdout]
    core = setup.root / 'requirements' / 'core.txt'
    core.write_text(core.read_text() + 'einops\n')
    paths.append(setup.run('core', DUALATTN_ENV='', HOME=home).stdout)
    assert all(path.startswith(f'{home}/.cache/dualattn_mm/env-') for path in paths)
    assert paths[0] != paths[1]


@pytest.mark.parametrize('args', [(), ('cores',), ('core', 'full')])
def test_wrong_argument(setup, args):
    done = setup.run(*args)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == 'env.sh: usage: bash tools/env.sh core|full\n'


def test_wrong_python_is_one_line(setup):
    code = 'import sys; sys.version_info = (3, 13, 0, "final", 0); exec(sys.argv.pop(2))'
    python = script(
        setup.folder / 'python3.13', f'#!/bin/sh\nexec {sys.executable} -c \'{code}\' "$@"\n'
    )
    done = setup.run('core', PYTHON=python)
    assert (done.returncode, done.stdout) == (1, '')
    assert len(done.stderr.splitlines()) == 1
    assert '3.10, 3.11 or 3.12' in done.stderr
    assert f'{python} is 3.13' in done.stderr
    assert not setup.env.exists()


def test_python_on_path_that_cannot_run_is_passed_over(setup):
    shims = setup.folder / 'shims'
    script(shims / 'python3', '#!/bin/sh\necho "pyenv: python3: command not found" >&2\nexit 127\n')
    shutil.copy(setup.python, shims / 'python3.11')
    done = setup.run('core', PYTHON='', PATH=f'{shims}:{os.environ["PATH"]}')
    assert done.returncode == 0, done.stderr
    assert 'Python 3.11' in done.stderr


def test_failure_names_step_and_log_and_is_not_taken_for_done(setup):
    setup.pip_fails(' install ')
    done = setup.run('core')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'step 2 of 3' in done.stderr.splitlines()[-1]
    log = Path(done.stderr.splitlines()[-1].split('log: ')[1])
    assert '-m pip' in log.read_text()
    assert '\n  | -m pip' in done.stderr

    setup.pip_fails('^$')
    assert setup.run('core').returncode == 0
    assert setup.calls() == 2


def test_interruption_stops_pip_and_is_not_taken_for_done(setup):
    setup.hold.touch()
    process = setup.start('core')
    setup.wait_for_pip()
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 130
    assert 'interrupted' in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int((setup.folder / 'pid').read_text()), 0)

    setup.hold.unlink()
    done = setup.run('core')
    assert done.returncode == 0, done.stderr
    assert setup.calls() == 2


def test_after_a_kill_the_next_call_waits_for_the_orphan_and_starts_anew(setup):
    setup.hold.touch()
    process = setup.start('core')
    setup.wait_for_pip()
    (setup.env / 'half-made').touch()
    process.kill()
    finish(process)
    next_one = setup.start('core')
    wait_until(lambda: waits(next_one), 'the next call waits')
    setup.hold.unlink()
    done = finish(next_one)
    assert done.returncode == 0, done.stderr
    assert not (setup.env / 'half-made').exists()
    assert setup.calls() == 2


def test_two_at_once_install_once(setup):
    setup.hold.touch()
    processes = [setup.start('core') for _ in range(2)]
    wait_until(lambda: any(map(waits, processes)), 'one waits for the other')
    setup.hold.unlink()
    done = [finish(process) for process in processes]
    assert [one.stdout for one in done] == [f'{setup.env}/bin/python\n'] * 2
    assert setup.calls() == 1
    assert sum(map(waits, processes)) == 1


def test_folder_with_other_things_is_left_alone(setup):
    setup.env.mkdir()
    (setup.env / 'thesis.tex').write_text('mine')
    done = setup.run('core')
    assert (done.returncode, done.stdout) == (1, '')
    assert len(done.stderr.splitlines()) == 1
    assert 'DUALATTN_ENV' in done.stderr
    assert [path.name for path in setup.env.iterdir()] == ['thesis.tex']


# ---- requirements ----


def read_requirements(path):
    lines = (line.split('#')[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_lock_fits_the_requirements():
    def key(name):
        return name.lower().replace('_', '-')

    folder = ROOT / 'requirements'
    lock = {key(r.name): r.specifier for r in read_requirements(folder / 'lock-py311.txt')}
    assert all(str(pin).startswith('==') for pin in lock.values())
    for path in folder.glob('*.txt'):
        for requirement in read_requirements(path):
            version = str(lock[key(requirement.name)]).removeprefix('==')
            assert requirement.specifier.contains(version), f'{path.name}: {requirement}'


# ---- the package ----


@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    """A folder with an sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp('package')
    ignore = shutil.ignore_patterns('.*', 'build', 'dist', 'outputs', 'work_dirs', '*.egg-info')
    shutil.copytree(ROOT, folder / 'clone', ignore=ignore)
    command = [sys.executable, '-m', 'build', '--no-isolation', '-o', folder, folder / 'clone']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def wheel_files(folder):
    (wheel,) = folder.glob('*.whl')
    return wheel, zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope='module')
def site(dist):
    """The wheel installed, outside the clone."""
    wheel, _ = wheel_files(dist)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'install', '--no-deps']
    subprocess.run([*pip, '-q', '--no-index', '--target', dist / 'site', wheel], check=True)
    return dist / 'site'


def run_outside(site, *command):
    done = subprocess.run(
        command,
        cwd=site.parent,
        env={**os.environ, 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_the_whole_package_and_the_configs(dist):
    def files(folder):
        names = (path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob('*'))
        return {name for name in names if '__pycache__' not in name and Path(name).suffix}

    _, names = wheel_files(dist)
    wanted = files('dualattn_mm') | {f'dualattn_mm/.mim/{name}' for name in files('configs')}
    assert {name for name in names if name.startswith('dualattn_mm/')} - wanted <= {
        'dualattn_mm/.mim/model-index.yml'
    }
    assert wanted <= set(names)


def test_installed_package_works_outside_the_clone(site):
    code = (
        'import dualattn_mm, mmengine\n'
        'from dualattn_mm.utils.configs_dir import configs_dir\n'
        'print(dualattn_mm.__file__)\n'
        'print(configs_dir())\n'
        'for folder in configs_dir().glob("mm*"):\n'
        '    mmengine.Config.fromfile(min(folder.glob("*.py")))\n'
    )
    package, configs = map(Path, run_outside(site, sys.executable, '-c', code).splitlines())
    assert package.parent == site / 'dualattn_mm'
    assert configs == site / 'dualattn_mm' / '.mim' / 'configs'
    names = {path.relative_to(configs) for path in configs.rglob('*.py')}
    assert names == {path.relative_to(ROOT / 'configs') for path in ROOT.glob('configs/**/*.py')}
    assert names


def test_installed_console_script(site):
    script = site / 'bin' / 'dualattn-colorize'
    assert 'dualattn-colorize' in run_outside(site, sys.executable, script, '--help')


def test_metadata_has_the_extras_and_no_exact_torch(site):
    (info,) = site.glob('dualattn_mm-*.dist-info')
    metadata = PathDistribution(info)
    assert set(metadata.metadata.get_all('Provides-Extra')) == EXTRAS
    assert metadata.metadata['Requires-Python'] in ('>=3.10,<3.13', '<3.13,>=3.10')
    requirements = [Requirement(line) for line in metadata.requires]
    for extra in EXTRAS:
        assert any(r.marker and r.marker.evaluate({'extra': extra}) for r in requirements), extra
    plain = {r.name: r.specifier for r in requirements if r.marker is None}
    assert plain['torch'].contains('2.1.2')
    assert plain['torchvision'].contains('0.16.2')
    assert not {'mmcv', 'mmdet', 'mmpretrain', 'mmdet3d', 'mmagic'} & set(plain)


def test_configs_dir_in_a_checkout():
    assert configs_dir() == ROOT / 'configs'


def test_configs_dir_ignores_configs_of_others(tmp_path):
    package = tmp_path / 'dualattn_mm'
    (package / 'utils').mkdir(parents=True)
    shutil.copy(ROOT / 'dualattn_mm' / 'utils' / 'configs_dir.py', package / 'utils')
    (package / '__init__.py').touch()
    (tmp_path / 'configs').mkdir()
    code = 'from dualattn_mm.utils.configs_dir import configs_dir; configs_dir()'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1].startswith('FileNotFoundError: no configs at')
