"""Types of command line arguments, for argparse."""

import argparse
from pathlib import Path


def natural(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 1')
    return int(text)


def named_folder(text: str) -> tuple[str, Path]:
    """NAME=FOLDER, as the name and the folder."""
    name, _, folder = text.partition('=')
    if not (name and folder):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=FOLDER')
    return name, Path(folder)
