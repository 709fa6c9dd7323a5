import importlib
import importlib.util
import warnings

import pytest
import torch

LIBRARIES = ('mmdet', 'mmpretrain', 'mmdet3d', 'mmagic')


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def perturb():
    """Move all parameters away from zeros, ones and near-uniform softmaxes, which hide mistakes."""

    def perturb_(module, std=0.2):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(std * torch.randn_like(parameter))
        return module

    return perturb_


@pytest.fixture(scope='session')
def openmmlab():
    """All four task libraries, with every module of theirs registered; imported once (30 s)."""
    missing = [name for name in (*LIBRARIES, 'mmcv') if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'not installed: {", ".join(missing)}')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in LIBRARIES:
            importlib.import_module(f'{name}.utils').register_all_modules(init_default_scope=False)
    return {name: importlib.import_module(f'{name}.registry') for name in LIBRARIES}
