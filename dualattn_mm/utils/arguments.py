"""Argument types for argparse."""

import argparse
from pathlib import Path


def natural(text: str) -> int:
    """Parse a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a positive integer')
    return int(text)


def named_folder(text: str) -> tuple[str, Path]:
    """Parse NAME=FOLDER into the name and the folder."""
    name, _, folder = text.partition('=')
    if not (name and folder):
        raise argparse.ArgumentTypeError(f'{text!r} does not have the form NAME=FOLDER')
    return name, Path(folder)
