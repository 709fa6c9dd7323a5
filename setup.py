import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def requirements(name):
    """The requirements of one file, without comments: the only place where a version is stated."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in (line.split('#')[0].strip() for line in lines) if line]


def version():
    text = (ROOT / 'dualattn_mm' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


class BuildWithConfigs(build_py):
    """Puts the configs into the package as `.mim/`, where OpenMMLab's packages have theirs."""

    def run(self):
        package = Path(self.build_lib) / 'dualattn_mm'
        if not self.editable_mode:
            # setuptools builds on top of an earlier build and would ship files deleted since.
            shutil.rmtree(package, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / 'configs', package / '.mim' / 'configs', ignore=ignore)
            if (ROOT / 'model-index.yml').is_file():
                shutil.copy(ROOT / 'model-index.yml', package / '.mim')


LIBRARIES = ('mmagic', 'mmpretrain', 'mmdet', 'mmdet3d')

setup(
    name='dualattn_mm',
    version=version(),
    description='Dual attention networks for OpenMMLab: colorization, detection, classification',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    packages=find_packages(include=['dualattn_mm', 'dualattn_mm.*']),
    package_data={'dualattn_mm': ['assets/*.safetensors', 'assets/*.html']},
    python_requires='>=3.10,<3.13',
    install_requires=requirements('core'),
    extras_require={
        **{
            name: requirements(name)
            for name in (*LIBRARIES, 'mmdet3d-cpu', 'demo', 'benchmark', 'evaluation')
        },
        'tests': requirements('tests') + requirements('benchmark'),
        'all': [line for name in LIBRARIES for line in requirements(name)],
    },
    entry_points={'console_scripts': ['dualattn-colorize = dualattn_mm.apis.cli:main']},
    cmdclass={'build_py': BuildWithConfigs},
)
