"""Optional libraries, imported where they are used."""

import importlib
from types import ModuleType

from .errors import UserError, first_line


def library(
    name: str, user: str = 'the metrics', install: str = '-r requirements/evaluation.txt'
) -> ModuleType:
    """Import a module of a library that may be missing.

    Args:
        name: the module's.
        user: what needs it, for the message.
        install: what pip is told.

    Raises:
        UserError: if it is not installed, in one line that says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name.split(".")[0]} is needed for {user} ({first_line(error)}): '
            f'pip install {install}'
        ) from None
