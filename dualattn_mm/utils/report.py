"""Tables on the screen and JSON files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .atomic import atomic_write_bytes, check_writable
from .errors import UserError
from .terminal import print_line

_WIDEST = 160


def print_table(table: Table) -> None:
    """Print to standard output; what is wider than the terminal is not cut off.

    Names in it are shown as they are: neither markup (`[bold]`) nor terminal codes in them count.
    """
    console = Console(color_system=None, markup=False, emoji=False, highlight=False)
    wanted = table.__rich_measure__(console, console.options.update_width(_WIDEST)).maximum
    console.width = max(console.width, wanted)
    if table.title:
        print_line(table.title)  # rich would break it to the width of the table
        table.title = None
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_line(line)


def figures_table(figures: Mapping[str, Any]) -> Table:
    """One row per figure."""
    table = Table()
    table.add_column('metric', no_wrap=True)
    table.add_column('value', justify='right', no_wrap=True)
    for name, value in figures.items():
        table.add_row(name, show(value))
    return table


def methods_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per method; all methods have the same figures."""
    table = Table()
    table.add_column('method', no_wrap=True)
    for name in next(iter(rows.values())):
        table.add_column(name, justify='right', no_wrap=True)
    for method, figures in rows.items():
        table.add_row(method, *map(show, figures.values()))
    return table


def show(value: Any) -> str:
    """A figure with as many digits as are of use."""
    if not isinstance(value, float):
        return str(value)
    return f'{value:.4f}' if abs(value) < 1 else f'{value:.2f}'


def check_output(out: Path | str) -> None:
    """Make the folder of a file to come, before the work is done that it is for.

    Raises:
        UserError: if the file cannot be written there.
    """
    if Path(out).is_dir():
        raise UserError(f'--out {out} is a folder: name a file')
    check_writable(Path(out).parent)


def write_json(out: Path | str, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; what is not finite becomes null, which JSON has."""
    atomic_write_bytes(Path(out), (json.dumps(_plain(content), indent=1) + '\n').encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, 'tolist'):  # of numpy and torch
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)
