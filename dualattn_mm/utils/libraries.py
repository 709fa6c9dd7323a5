"""Optional libraries, imported where they are used."""

import importlib
from types import ModuleType

from .errors import UserError, first_line


def library(
    name: str, user: str = 'the metrics', requirements: str = 'requirements/evaluation.txt'
) -> ModuleType:
    """Import a module of a library that may be missing.

    Args:
        name: the module's.
        user: what needs it, for the message.
        requirements: the file that it stands in.

    Raises:
        UserError: if it is not installed, in one line that says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name.split(".")[0]} is needed for {user} ({first_line(error)}): '
            f'pip install -r {requirements}'
        ) from None
