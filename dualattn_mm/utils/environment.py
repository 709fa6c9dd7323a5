"""Describe the environment, for bug reports."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from ..version import __version__

# The import names. Forks install some of these libraries under other distribution names.
_LIBRARIES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmpretrain',
    'mmdet',
    'mmdet3d',
    'mmagic',
    'numpy',
    'PIL',
    'safetensors',
    'cv2',
    'timm',
    'transformers',
    'torchmetrics',
    'av',
    'pillow_heif',
    'onnxruntime',
    'gradio',
    'ray',
)


def environment() -> dict[str, str]:
    """Return the versions of this package, Python, the system and each library by name."""
    found = {
        'dualattn_mm': f'{__version__} in {Path(__file__).resolve().parents[1]}',
        'Python': f'{platform.python_version()} in {sys.prefix}',
        'system': f'{platform.platform()}, {os.cpu_count()} cores',
        'encoding': f'{sys.stdout.encoding}, file names {sys.getfilesystemencoding()}',
    }
    distributions = packages_distributions()
    for name in _LIBRARIES:
        found[name] = _version(name, distributions.get(name, []))
    found['GPU'] = _gpus()
    return found


def _version(name: str, distributions: list[str]) -> str:
    # Python 3.10 finds only distributions with a top_level.txt, which numpy does not have.
    for distribution in distributions or [name]:
        try:
            number = version(distribution)
        except PackageNotFoundError:
            continue
        same = distribution.lower() == name.lower()
        return number if same else f'{number} ({distribution})'
    return 'not installed'


def _gpus() -> str:
    try:
        import torch
    except ImportError:
        return 'unknown without torch'
    if not torch.cuda.is_available():
        return f'none that torch sees (built for CUDA {torch.version.cuda or "none"})'
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f'{", ".join(names)} (CUDA {torch.version.cuda})'
