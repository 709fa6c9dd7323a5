"""The configs that come with the package: where they are, and their names."""

import difflib
from pathlib import Path

from .errors import RunError

_CLOSE = 3  # names in a message


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


def config_names() -> list[str]:
    """The names that `find_config` knows, such as 'mmagic/color_dualattn_mini', in their order."""
    root = configs_dir()
    paths = (path.relative_to(root).with_suffix('') for path in root.glob('[!_]*/*.py'))
    return sorted(path.as_posix() for path in paths)


def find_config(config: str) -> Path:
    """The file of a config.

    Args:
        config: a path, or the name of a config that comes with the package, with or without
            'configs/' before it and '.py' behind it. A file of the current folder goes first.

    Raises:
        RunError: if there is none, with the names that are closest.
    """
    if Path(config).is_file():
        return Path(config)
    name = config.removesuffix('.py').removeprefix('configs/')
    names = config_names()
    if name in names:
        return configs_dir() / f'{name}.py'
    by_stem = [known for known in names if known.rpartition('/')[2] == name.rpartition('/')[2]]
    close = by_stem or difflib.get_close_matches(name, names, _CLOSE, cutoff=0.5)
    hint = (
        f'did you mean {" or ".join(close)}?' if close else "'dualattn info --configs' lists them"
    )
    raise RunError(f'no config file {config}, and no config of this name in the package: {hint}')
