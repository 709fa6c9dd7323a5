"""Where the configs lie, in an installed package and in a checkout."""

from pathlib import Path


def configs_dir() -> Path:
    """The folder that holds `mmagic/`, `mmpretrain/`, `mmdet/`, `mmdet3d/` and `_base_/`.

    Raises:
        FileNotFoundError: The package was copied without its configs.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / '.mim' / 'configs'
    if installed.is_dir():
        return installed
    # setup.py tells a checkout from a site-packages into which another package put `configs`.
    checkout = package.parent / 'configs'
    if checkout.is_dir() and (package.parent / 'setup.py').is_file():
        return checkout
    raise FileNotFoundError(f'no configs at {installed} or {checkout}: reinstall dualattn_mm')
