"""Print tables and write JSON files."""

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
    """Print a table to standard output without cutting it off at the width of the terminal.

    Text is printed literally: markup (`[bold]`) and terminal codes in it have no effect.
    """
    console = Console(color_system=None, markup=False, emoji=False, highlight=False)
    wanted = table.__rich_measure__(console, console.options.update_width(_WIDEST)).maximum
    console.width = max(console.width, wanted)
    if table.title:
        print_line(table.title)  # rich would wrap it at the width of the table
        table.title = None
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_line(line)


def figures_table(figures: Mapping[str, Any]) -> Table:
    """Make a table with one row per figure."""
    table = Table()
    table.add_column('metric', no_wrap=True)
    table.add_column('value', justify='right', no_wrap=True)
    for name, value in figures.items():
        table.add_row(name, show(value))
    return table


def methods_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """Make a table with one row per method; all methods have the same figures."""
    table = Table()
    table.add_column('method', no_wrap=True)
    for name in next(iter(rows.values())):
        table.add_column(name, justify='right', no_wrap=True)
    for method, figures in rows.items():
        table.add_row(method, *map(show, figures.values()))
    return table


def show(value: Any) -> str:
    """Format a figure with a useful number of digits."""
    if not isinstance(value, float):
        return str(value)
    return f'{value:.4f}' if abs(value) < 1 else f'{value:.2f}'


def check_output(out: Path | str) -> None:
    """Create the folder of an output file before the work starts.

    Raises:
        UserError: if the file cannot be written there.
    """
    if Path(out).is_dir():
        raise UserError(f'{out} is a folder: pass the path of a file to write')
    check_writable(Path(out).parent)


def write_json(out: Path | str, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically. Numbers that are not finite become null."""
    atomic_write_bytes(Path(out), (json.dumps(_plain(content), indent=1) + '\n').encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, 'tolist'):  # numpy and torch values
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)
