"""Import optional libraries where they are used."""

import importlib
from types import ModuleType

from .errors import UserError, first_line


def library(
    name: str, user: str = 'the metrics', install: str = "'dualattn_mm[evaluation]'"
) -> ModuleType:
    """Import a module of an optional library.

    Args:
        name: name of the module.
        user: the component that needs it, for the error message.
        install: the arguments of pip install.

    Raises:
        UserError: if it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name.split(".")[0]} is needed for {user} ({first_line(error)}): '
            f'pip install {install}'
        ) from None


def opencv(user: str) -> ModuleType:
    """Import OpenCV, whose usual wheel cannot be loaded on a machine without libGL.

    Args:
        user: what needs it, for the error message.

    Raises:
        UserError: if it cannot be imported; the message names the wheel that needs no libGL.
    """
    return library('cv2', user, "'opencv-python-headless<4.12'")
