"""The command line of tools/reproduce.py."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dualattn_mm.utils.atomic import atomic_write_bytes, check_writable
from dualattn_mm.utils.command import run_command

from .ours import Entry, entries_of
from .page import markdown, page
from .paper import PaperTable, read_paper
from .trainings import trainings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; None uses `sys.argv`."""
    paper = read_paper()
    parser = argparse.ArgumentParser(
        description='Compare the tables of the paper with the counts and measurements of this '
        'implementation, and print the status of each figure.'
    )
    add = parser.add_argument
    add('--table', nargs='+', choices=[*paper], default=[*paper], help='tables (default: all)')
    add(
        '--results',
        type=Path,
        default=Path(),
        metavar='FOLDER',
        help='parent of work_dirs (default: .)',
    )
    add('--commands', action='store_true', help='print the commands for figures that were not run')
    add('--markdown', type=Path, metavar='FILE', help='write the whole page to a file')
    args = parser.parse_args(argv)
    if args.markdown and (args.commands or args.table != [*paper]):
        parser.error('--markdown writes the whole page and cannot be combined with other choices')
    return run_command(lambda: _run(args, paper))


def compare(tables: Sequence[PaperTable], results: Path = Path()) -> dict[str, list[Entry]]:
    """Return the entries of each table by its name, with progress on standard error."""
    networks = {id(row.network): row.network for table in tables for row in table.ours.values()}
    # The libraries log to standard output and warn about their own code.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for network in track(
            [*networks.values()], 'counting networks', console=Console(stderr=True)
        ):
            _ = network.counts
        return {table.name: entries_of(table, results) for table in tables}


def _run(args: argparse.Namespace, paper: dict[str, PaperTable]) -> None:
    if args.markdown:
        check_writable(args.markdown.parent)
    entries = compare([paper[name] for name in args.table], args.results)
    if args.markdown:
        atomic_write_bytes(args.markdown, page(paper, entries).encode())
    elif args.commands:
        for training in trainings(e for own in entries.values() for e in own):
            data, hours = training.row.data['train'], training.hours
            print(f'# {training.name}: {data}, about {hours:,.0f} GPU hours')
            print(*training.commands, sep=' && \\\n  ', end='\n\n')
    else:
        print(*(markdown(paper[name], entries[name]) for name in args.table), sep='\n')
