"""The package needs torch and mmengine alone, and imports nothing heavy behind one's back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow  # two processes import PyTorch

# Runs in a process in which the task libraries cannot be imported.
PROBE = """
import importlib.abc, json, sys

BLOCKED = {'mmcv', 'mmdet', 'mmpretrain', 'mmagic', 'mmdet3d'}
asked = []

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in BLOCKED:
            asked.append(name)
            raise ImportError(f'{name} is blocked in this test')

sys.meta_path.insert(0, Block())
import torch, mmengine, mmengine.model
from mmengine import Config
from mmengine.registry import MODELS

base, asked[:] = set(sys.modules), []
known = set(MODELS.module_dict)
config = Config.fromfile(sys.argv[1])  # its custom_imports bring the package in
added = {name.split('.')[0] for name in set(sys.modules) - base}
registered = sorted(set(MODELS.module_dict) - known)

import dualattn_mm
encoder = MODELS.build(config.encoder)
plain = dualattn_mm.DualAttention(**{k: v for k, v in config.encoder.items() if k != 'type'})
outs = [encoder(torch.randn(1, 1, 33, 47)), plain(torch.randn(1, 1, 33, 47))]
ab = MODELS.build(config.generator)(50 * torch.ones(1, 1, 5, 3))
print('PROBE' + json.dumps(dict(
    added=sorted(added - set(sys.stdlib_module_names)),
    asked=asked,
    registered=registered,
    ablations=[name for name in sys.modules if name.startswith('projects.colorformer')],
    shapes=[[list(m.shape) for m in out] for out in outs],
    ab=list(ab.shape),
    version=dualattn_mm.__version__,
    public=[name for name in dualattn_mm.__all__ if not hasattr(dualattn_mm, name)],
)))
"""

CONFIG = """
custom_imports = dict(imports=['dualattn_mm'], allow_failed_imports=False)
encoder = dict(
    type='DualAttention', in_channels=1, head_dim=4, group_dim=4, window_size=3,
    arch=dict(embed_dims=[8, 8, 8, 8], depths=[1, 1, 1, 1], stem_channels=4))
generator = dict(
    type='MultiscalePyramidTransformer', encoder=encoder, num_queries=4,
    neck=dict(type='PixelShuffleNeck', in_channels=[8, 8, 8, 8], out_channels=[8, 8, 8]),
    head=dict(type='ColorAttention', in_channels=8, num_layers=1, num_heads=2,
              feedforward_channels=8))
"""


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """What the probe saw."""
    folder = tmp_path_factory.mktemp('imports')
    (folder / 'probe.py').write_text(PROBE)
    (folder / 'config.py').write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, folder / 'probe.py', folder / 'config.py'],
        env={'PATH': '', 'PYTHONPATH': str(ROOT), 'HOME': str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split('PROBE')[1])


def test_task_libraries_are_not_needed(alone):
    assert not alone['asked'], 'not even tried, with a fallback'
    assert alone['shapes'] == [[[1, 8, 9, 12], [1, 8, 5, 6], [1, 8, 3, 3], [1, 8, 2, 2]]] * 2
    assert alone['ab'] == [1, 2, 5, 3]


def test_import_brings_in_no_third_package(alone):
    """Neither torchvision, scikit-image, scikit-learn, PIL, tqdm nor safetensors."""
    assert alone['added'] == ['dualattn_mm']


def test_parts_of_other_networks_are_not_loaded(alone):
    assert alone['ablations'] == []


def test_custom_imports_register_the_networks(alone):
    networks = {
        'ColorAttention',
        'Colorizer',
        'DualAttention',
        'DualAttentionBEV',
        'MultiscalePyramidTransformer',
        'PixelShuffleNeck',
    }
    assert networks <= set(alone['registered'])


def test_public_names_exist(alone):
    assert alone['public'] == []
    assert alone['version'].count('.') == 2


LATE = """
import importlib.util, sys
import dualattn_mm
loaded = sorted({'torch', 'mmengine', 'numpy'} & set(sys.modules))
assert not loaded, loaded
assert importlib.util.find_spec('mmengine').origin.endswith('__init__.py')  # asked, not imported
import mmengine
from mmengine.registry import MODELS
assert 'Colorizer' in MODELS.module_dict
assert type(mmengine.__spec__.loader).__name__ == 'SourceFileLoader'
"""


def test_import_alone_loads_nothing_and_still_registers_the_networks():
    """`import dualattn_mm` before mmengine, as in scripts that call an inferencer."""
    done = subprocess.run(
        [sys.executable, '-c', LATE], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, '')
