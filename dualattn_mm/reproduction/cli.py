"""The command line of tools/reproduce.py."""

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ..utils.atomic import atomic_write_bytes, check_writable
from ..utils.command import run_command
from ..utils.configs_dir import configs_dir
from ..utils.errors import UserError
from ..utils.report import print_table
from . import render
from .report import Reporter, TableReport
from .results import Results
from .tables import PaperTable, choose_tables, read_tables

# The README's table stands between these.
START, END = '<!-- reproduction: tools/reproduce.py -->', '<!-- end -->'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None takes those of the process.

    Returns:
        The exit status: 0, 2 after an error of use, 130 when interrupted.

    Raises:
        SystemExit: from argparse, with status 2 for wrong arguments and 0 for --help.
    """
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Says for every table of the paper what is published, what ours is, counted or '
        'measured, and how far they agree; of what has not been measured, the command that would.'
    )
    add = parser.add_argument
    add(
        '--table',
        nargs='+',
        metavar='NAME',
        help='these tables alone: I to XIII, Runtime (default: all)',
    )
    add(
        '--results',
        type=Path,
        metavar='FOLDER',
        help='where the JSON files of tools/test.py --out are, in its subfolders too (default: '
        'work_dirs, if there is one)',
    )
    add('--json', action='store_true', help='print JSON')
    add('--markdown', type=Path, metavar='FILE', help='also write the report as Markdown')
    add(
        '--readme',
        type=Path,
        metavar='FILE',
        help=f"also bring a file's summary up to date, between the lines {START} and {END}; needs "
        'all tables',
    )
    add('--config', type=Path, metavar='FILE', help='instead of configs/reproduction.yml')
    return parser


def _run(args: argparse.Namespace) -> None:
    configs = configs_dir()
    path = args.config or configs / 'reproduction.yml'
    tables = choose_tables(read_tables(path), args.table)
    if args.readme and args.table:
        raise UserError('--readme needs all tables: leave --table out')
    readme = args.readme and _parts_of_readme(args.readme)
    if args.markdown:
        check_writable(args.markdown.parent)
    folder = args.results or Path('work_dirs')
    results = Results(folder if args.results or folder.is_dir() else None)
    reports = make_reports(tables, configs.parent, results)
    if args.json:
        print(json.dumps(render.as_json(reports), indent=1))
    else:
        for report in reports:
            print_table(render.table_for_screen(report))
            print(*render.remarks_of(report), '', sep='\n')
    if args.markdown:
        atomic_write_bytes(args.markdown, render.markdown(reports).encode())
    if readme:
        before, after = readme
        atomic_write_bytes(args.readme, f'{before}{render.summary(reports)}{after}'.encode())


def make_reports(tables: Sequence[PaperTable], root: Path, results: Results) -> list[TableReport]:
    """The reports of some tables; which one is being counted is told on standard error.

    Args:
        tables: of configs/reproduction.yml.
        root: the folder that the configs' paths are relative to.
        results: what was measured.

    Raises:
        UserError: if a config or its options cannot be used.
    """
    reporter = Reporter(root, results)
    reports = []
    for table in tables:
        print(f'table {table.name} ...', file=sys.stderr, flush=True)
        # The libraries log to standard output, and warn of their own insides.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            reports.append(reporter.report(table))
    return reports


def _parts_of_readme(path: Path) -> tuple[str, str]:
    """What stands before and after the summary."""
    text = path.read_text(encoding='utf-8')
    if text.count(START) != 1 or END not in text.partition(START)[2]:
        raise UserError(f'{path} has no lines {START} and {END}')
    before, _, rest = text.partition(START)
    return f'{before}{START}\n', f'{END}{rest.partition(END)[2]}'
