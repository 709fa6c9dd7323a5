"""What pyproject.toml cannot say: the wheel carries the configs and the tools, which lie outside
the package in a checkout. OpenMMLab's packages keep theirs in `.mim/`, and `mim` looks there."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# The first four are for a checkout and its environment, the others need projects/.
CHECKOUT_ONLY = (
    'env.sh',
    'demo.sh',
    'demo.py',
    'test.sh',
    'reproduce.py',
    'compare_training.py',
)


class BuildWithMim(build_py):
    def run(self):
        package = Path(self.build_lib) / 'dualattn_mm'
        if not self.editable_mode:
            # setuptools builds on top of an earlier build and would ship files deleted since then.
            shutil.rmtree(package, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            ignore = shutil.ignore_patterns('__pycache__', *CHECKOUT_ONLY)
            for folder in ('configs', 'tools'):
                shutil.copytree(ROOT / folder, package / '.mim' / folder, ignore=ignore)
            shutil.copy(ROOT / 'model-index.yml', package / '.mim')


setup(cmdclass={'build_py': BuildWithMim})
