"""Read config files, and say which library they need if it is missing."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ..utils.command import error_line
from ..utils.configs_dir import find_config
from ..utils.errors import RunError


def load_config(config: str, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file whose library is installed.

    Args:
        config, cfg_options: those of `read_config`.

    Raises:
        RunError: if it cannot be used.
    """
    cfg = read_config(config, cfg_options)
    scope = cfg.get('default_scope')
    if scope and importlib.util.find_spec(scope) is None:
        raise _not_installed(config, scope)
    return cfg


def read_config(config: str, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file.

    Args:
        config: a config file, which is Python code that is executed, or the name of a bundled
            config; see `find_config`.
        cfg_options: values of the config to override, by dotted names.

    Raises:
        RunError: if the config cannot be used.
    """
    file = find_config(config)
    try:
        cfg = Config.fromfile(file)
        cfg.merge_from_dict(dict(cfg_options or {}))
        if any(name.split('.')[0] == 'custom_imports' for name in cfg_options or ()):
            # Those of the file are already imported.
            import_modules_from_strings(**cfg.custom_imports)
    except Exception as error:  # a config is a program, so any error is possible
        if missing := _missing_module(error):
            raise _not_installed(config, missing) from None
        raise RunError(f'cannot use the config {config}: {error_line(error)}') from error
    return cfg


def _missing_module(error: BaseException | None) -> str | None:
    """Return the missing package that caused an error; mmengine reports it only as text."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            name = error.name or re.sub(r' is not installed.*', '', str(error))
            return name.partition('.')[0]
        error = error.__cause__ or error.__context__
    return None


def _not_installed(config: str, package: str) -> RunError:
    return RunError(
        f'{config} needs {package}, which is not installed: the page Installation of the '
        'documentation describes how to install it'
    )
