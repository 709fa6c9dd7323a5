"""Render the tables in Markdown, and the page that contains them (page.md.jinja)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from .ours import NOT_REPRODUCED, NOT_REPRODUCIBLE, NOT_RUN, REPRODUCED, STATUSES, Entry
from .paper import DASH, PaperTable
from .trainings import RATE, trainings

_MARKS = {REPRODUCED: '✓', NOT_REPRODUCED: '✗'}
_WITH_COUNTS = ('II', 'III', 'IV', 'XII', 'XIII')  # the paper does not print these sizes


def page(paper: Mapping[str, PaperTable], entries: Mapping[str, Sequence[Entry]]) -> str:
    """Render the whole page; `entries` has the entries of all tables."""
    from jinja2 import Environment, StrictUndefined

    everything = [entry for own in entries.values() for entry in own]
    template = Path(__file__).with_name('page.md.jinja').read_text(encoding='utf-8')
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        paper=paper,
        printed={f[:]: value for table in paper.values() for f, value, _ in table.figures()},
        counts=lambda table, row: paper[table].ours[row].network.counts[0],
        entries=everything,
        statuses=STATUSES,
        trainings=trainings(everything),
        rate=RATE,
        tables=[markdown(table, entries[name]) for name, table in paper.items()],
    )


def markdown(table: PaperTable, entries: Sequence[Entry]) -> str:
    """Render a table of the paper, with our figures below its rows."""
    extra = ['M, counted', 'GMAC, counted'] if table.name in _WITH_COUNTS else []
    headings = [column.replace('_', ' ') for column in table.columns]
    rows = [['', *headings, *extra, 'status']]
    for name, cells in table.rows.items():
        own = [entry for entry in entries if entry.figure.row == name]
        sizes = []
        if extra:
            count = table.ours[name].network.counts[0]['']
            sizes = [f'{count.parameters / 1e6:.2f}', f'{count.macs / 1e9:.2f}']
        rows.append([f'**{name}**' if own else name, *map(_cell, cells), *sizes, _statuses(own)])
        shown = [e for e in own if name in table.ours or e.status != REPRODUCED]
        if any(entry.ours is not None for entry in shown):
            marked = [_marked(own, column) for column in table.columns]
            rows.append(['*here*', *marked, *[''] * (1 + len(extra))])
    number = 'Table ' * table.name.isupper() + table.name
    parts = f' (cells: {" / ".join(table.each)})' if table.each else ''
    return f'### {number}: {table.title}{parts}\n\n{grid(rows)}'


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table that is readable as text; the outer columns are left-aligned."""
    columns = []
    for i, column in enumerate(zip(*rows, strict=True)):
        width = max(3, *map(len, column))  # Markdown requires three dashes
        to_left = i in (0, len(rows[0]) - 1)
        cells = [cell.ljust(width) if to_left else cell.rjust(width) for cell in column]
        columns.append([cells[0], '-' * width if to_left else f'{"-" * (width - 1)}:', *cells[1:]])
    return ''.join(f'| {" | ".join(row)} |\n' for row in zip(*columns, strict=True))


def _cell(value: str | Sequence[str]) -> str:
    if value == DASH:
        return ''
    return value if isinstance(value, str) else ' / '.join(value).replace(DASH, '-')


def _marked(entries: Sequence[Entry], column: str) -> str:
    """Format our figures of a column, with their status."""
    texts = []
    for entry in entries:
        if entry.figure.column == column:
            value = f'{entry.ours:.4g}' if isinstance(entry.ours, float) else entry.ours
            mark = _MARKS.get(entry.status) or f'[{entry.excluded_by}]'
            texts.append('-' if entry.ours is None else f'{value} {mark}')
    return ' / '.join(texts) if any(text != '-' for text in texts) else '-'


def _statuses(entries: Sequence[Entry]) -> str:
    """Summarize the statuses, such as 'not run' or '2 ✓, 1 not run'."""
    number = Counter(entry.status for entry in entries)
    if len(number) == 1:
        return entries[0].status
    by = sorted({entry.excluded_by for entry in entries} - {None})
    texts = _MARKS | {NOT_REPRODUCIBLE: f'{by}', NOT_RUN: NOT_RUN}
    return ', '.join(f'{number[status]} {texts[status]}' for status in STATUSES if number[status])
