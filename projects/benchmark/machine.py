"""Describe the machine and the software of a run for its JSON file."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ('torch', 'timm', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet3d', 'modelscope')


def describe_machine(device: torch.device) -> dict[str, object]:
    """Return the hardware, the versions and the torch settings that affect speed."""
    about: dict[str, object] = {
        'cpu': _cpu_model(),
        'cpu_capability': torch.backends.cpu.get_cpu_capability(),
        'threads': torch.get_num_threads(),
        'device': str(device),
        'python': platform.python_version(),
        'system': platform.platform(),
        'packages': {name: found for name in _PACKAGES if (found := _version(name))},
        'commit': _commit(),
    }
    if device.type == 'cuda':
        about['gpu'] = torch.cuda.get_device_name(device)
        about['cuda'] = torch.version.cuda
        about['cudnn'] = torch.backends.cudnn.version()
        about['tf32'] = {
            'matmul': torch.backends.cuda.matmul.allow_tf32,
            'cudnn': torch.backends.cudnn.allow_tf32,
        }
    return about


def _cpu_model() -> str:
    """Return the CPU model; platform.processor() is empty on most Linux systems."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    return next(models, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of this checkout, marked if files have changed; None outside a checkout.

    The folder that carry.sh makes has it in a file.
    """
    root = Path(__file__).resolve().parents[2]
    if (root / 'COMMIT').is_file():
        return (root / 'COMMIT').read_text().strip()
    if not (root / '.git').exists():
        return None
    command = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=12']
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:  # no git
        return None
    return done.stdout.strip() or None
