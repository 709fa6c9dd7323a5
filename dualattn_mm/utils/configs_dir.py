"""Find the bundled configs by name."""

import difflib
from pathlib import Path

from .errors import RunError

_CLOSE = 3  # names in a message


def configs_dir() -> Path:
    """Return the folder that holds `mmagic/`, `mmpretrain/`, `mmdet/`, `mmdet3d/` and `_base_/`.

    Raises:
        FileNotFoundError: if the package was copied without its configs.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / '.mim' / 'configs'
    if installed.is_dir():
        return installed
    # setup.py distinguishes a checkout from a site-packages where another package put `configs`.
    checkout = package.parent / 'configs'
    if checkout.is_dir() and (package.parent / 'setup.py').is_file():
        return checkout
    raise FileNotFoundError(
        f'there are no configs in {installed} or {checkout}: reinstall dualattn_mm'
    )


def config_names() -> list[str]:
    """Return the sorted names that `find_config` knows, such as 'mmagic/color_dualattn_mini'."""
    root = configs_dir()
    paths = (path.relative_to(root).with_suffix('') for path in root.glob('[!_]*/*.py'))
    return sorted(path.as_posix() for path in paths)


def find_config(config: str) -> Path:
    """Find the file of a config.

    Args:
        config: a path, or the name of a bundled config, with or without the prefix 'configs/' and
            the suffix '.py'. An existing file takes precedence.

    Raises:
        RunError: if there is no such config; the message suggests the closest names.
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
    raise RunError(f'{config} is neither a config file nor the name of a bundled config: {hint}')
