"""The requirements, and the built and installed package."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from package_index import canonical, read_requirements
from packaging.requirements import Requirement

from dualattn_mm.utils.configs_dir import configs_dir

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ('mmagic', 'mmpretrain', 'mmdet', 'mmdet3d', 'mmdet3d-cpu', 'all')
EXTRAS = {
    *LIBRARIES,
    *['benchmark', 'demo', 'distillation', 'docs', 'evaluation', 'export', 'heif', 'ray'],
    *['tests', 'video', 'web'],
}
CHECKOUT_ONLY = {'env.sh', 'demo.sh', 'demo.py', 'test.sh', 'reproduce.py', 'compare_training.py'}


def test_lock_fits_the_requirements():
    folder = ROOT / 'requirements'
    lock = {canonical(r.name): r.specifier for r in read_requirements(folder / 'lock-py311.txt')}
    assert all(str(pin).startswith('==') for pin in lock.values())
    for path in folder.glob('*.txt'):
        for requirement in (
            [] if path.name.startswith(('onedl', 'web')) else read_requirements(path)
        ):
            if requirement.marker is None or requirement.marker.evaluate(
                {'python_version': '3.11'}
            ):
                version = str(lock[canonical(requirement.name)]).removeprefix('==')
                assert requirement.specifier.contains(version), f'{path.name}: {requirement}'


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
    """The installed wheel, outside the clone."""
    wheel, _ = wheel_files(dist)
    # pip is missing in environments of uv's, and uv among the tests' requirements.
    install = [sys.executable, '-m', 'uv', 'pip', 'install', '--python', sys.executable, '-q']
    options = ['--no-deps', '--no-index', '--target', dist / 'site']
    subprocess.run([*install, *options, wheel], check=True)
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


def test_sdist_and_wheel_pass_twine_check(dist):
    command = [sys.executable, '-m', 'twine', 'check', '--strict', *dist.glob('dualattn_mm-*.*')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('PASSED') == 2


def test_wheel_holds_the_package_the_configs_and_the_tools(dist):
    def files(folder):
        names = (path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob('*'))
        return {name for name in names if '__pycache__' not in name and Path(name).suffix}

    _, names = wheel_files(dist)
    tools = {name for name in files('tools') if Path(name).name not in CHECKOUT_ONLY}
    wanted = files('dualattn_mm') | {
        f'dualattn_mm/.mim/{name}' for name in files('configs') | tools
    }
    wanted |= {'dualattn_mm/.mim/model-index.yml', 'dualattn_mm/py.typed'}
    wanted |= {'dualattn_mm/assets/LICENSE'}
    assert {name for name in names if '.dist-info/' not in name} == wanted
    assert not any(name.startswith('projects') for name in names)


def test_installed_package_works_outside_the_clone(site):
    code = (
        'import dualattn_mm, mmengine\n'
        'from importlib.util import find_spec\n'
        'from dualattn_mm.utils.configs_dir import configs_dir\n'
        'print(dualattn_mm.__file__)\n'
        'print(configs_dir())\n'
        'for folder in configs_dir().glob("mm*"):\n'
        '    if folder.name == "mmagic" or find_spec(folder.name):  # else its bases are missing\n'
        '        file = min(folder.glob("*.py"))\n'
        '        mmengine.Config.fromfile(file, import_custom_modules=False)\n'
    )
    package, configs = map(Path, run_outside(site, sys.executable, '-c', code).splitlines())
    assert package.parent == site / 'dualattn_mm'
    assert configs == site / 'dualattn_mm' / '.mim' / 'configs'
    names = {path.relative_to(configs) for path in configs.rglob('*.py')}
    assert names == {path.relative_to(ROOT / 'configs') for path in ROOT.glob('configs/**/*.py')}
    assert names


def test_installed_console_script(site):
    script = site / 'bin' / 'dualattn'
    assert 'usage: dualattn' in run_outside(site, sys.executable, script, '--help')
    configs = run_outside(site, sys.executable, script, 'info', '--configs').split()
    assert 'mmagic/color_dualattn_mini' in configs


@pytest.mark.parametrize('name', ['train', 'test', 'get_flops', 'colorize'])
def test_installed_tools_are_where_mim_looks_for_them(site, name):
    tool = site / 'dualattn_mm' / '.mim' / 'tools' / f'{name}.py'
    assert run_outside(site, sys.executable, tool, '--help').startswith('usage: ')


@pytest.fixture(scope='module')
def metadata(site):
    (info,) = site.glob('dualattn_mm-*.dist-info')
    return PathDistribution(info)


def test_metadata_has_the_licenses_of_the_code_and_of_the_weights(metadata, site):
    stated = metadata.metadata['License-Expression']
    assert stated == 'Apache-2.0 AND LicenseRef-NonCommercialResearch'
    (folder,) = site.glob('dualattn_mm-*.dist-info/licenses')
    for name in metadata.metadata.get_all('License-File'):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    assert len(metadata.metadata.get_all('License-File')) == 2


def test_metadata_has_the_extras_and_no_exact_torch(metadata):
    assert set(metadata.metadata.get_all('Provides-Extra')) == EXTRAS
    assert metadata.metadata['Requires-Python'] == '>=3.10'
    requirements = [Requirement(line) for line in metadata.requires]
    old = {'python_version': '3.10'}
    for extra in EXTRAS:
        markers = [r.marker for r in requirements if r.marker]
        assert any(m.evaluate({**old, 'extra': extra}) for m in markers), extra
    core = [r for r in requirements if r.marker is None or r.marker.evaluate({**old, 'extra': ''})]
    plain = {r.name: r.specifier for r in core}
    assert plain['torch'].contains('2.1.2')
    assert plain['torchvision'].contains('0.16.2')
    assert plain['mmengine'].contains('0.10.7')
    assert not {'mmcv', 'mmdet', 'mmpretrain', 'mmdet3d', 'mmagic'} & set(plain)


@pytest.mark.parametrize('extra', LIBRARIES)
def test_extras_of_the_libraries_bring_nothing_on_new_pythons(metadata, extra):
    """There pip would build numpy 1 and more for an hour; our commands say what is missing."""
    new = {'python_version': '3.13'}
    for requirement in map(Requirement, metadata.requires):
        marker = requirement.marker
        brings = marker is not None and marker.evaluate({**new, 'extra': extra})
        assert not brings or marker.evaluate({**new, 'extra': ''}), requirement


def test_configs_dir_in_a_checkout():
    assert configs_dir() == ROOT / 'configs'


def test_configs_dir_ignores_configs_of_others(tmp_path):
    package = tmp_path / 'dualattn_mm'
    (package / 'utils').mkdir(parents=True)
    for name in ('configs_dir.py', 'errors.py'):
        shutil.copy(ROOT / 'dualattn_mm' / 'utils' / name, package / 'utils')
    (package / '__init__.py').touch()
    (tmp_path / 'configs').mkdir()
    code = 'from dualattn_mm.utils.configs_dir import configs_dir; configs_dir()'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1].startswith('FileNotFoundError: there are no configs in')
