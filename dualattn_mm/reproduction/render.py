"""The report for the screen, as Markdown and as JSON."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from .report import STATUSES, Entry, TableReport

_HEADINGS = ('row', 'figure', 'published', 'ours', 'error', 'status')
_ALIGNMENT = '|---|---|---:|---:|---:|---|'
_ABOUT = """\
# The paper, table by table

Made by `python tools/reproduce.py --markdown docs/reproduction.md --readme README.md` from
[configs/reproduction.yml](../configs/reproduction.yml), which maps every row to a config and its
options; do not edit. Measured figures are those of the JSON files of `tools/test.py` below
`work_dirs`; where there is none, the command that would measure is given (8 GPUs, as in the paper).

- *reproduced*: within the tolerance that the file states for the figure.
- *not reproduced*: off by more.
- *not reproducible*: the published figure excludes another one, or the network as described; the
  arithmetic is given.
- *not run*: to be measured by the command given, or the reason why it cannot be.
- *not compared*: what is published is not recorded here; ours alone is shown.

Parameters are in millions, multiply-accumulates (MACs) in 10^9 for one image, counted by torch's
formulas on networks that are built but never computed.
"""


class _Remark(NamedTuple):
    """What stands below a table: a command, or why a figure is what it is."""

    text: str
    is_command: bool = False


def table_for_screen(report: TableReport) -> Table:
    """One table; remarks are numbered, for `remarks_of`."""
    table = Table(title=_title(report), title_justify='left')
    for i, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify='right' if i in (2, 3, 4) else 'left', no_wrap=i != 1)
    for cells in _numbered(report)[0]:
        table.add_row(*cells)
    return table


def remarks_of(report: TableReport) -> list[str]:
    """What the numbers in the table stand for, a line each."""
    return [f'[{i}] {text}' for i, (text, _) in enumerate(_numbered(report)[1], 1)]


def markdown(reports: Sequence[TableReport]) -> str:
    """The whole report, as docs/reproduction.md has it."""
    parts = [_ABOUT]
    for report in reports:
        rows, remarks = _numbered(report)
        lines = [
            f'## {_title(report)}',
            '',
            _markdown_row(_HEADINGS),
            _ALIGNMENT,
        ]
        lines += [_markdown_row(cells) for cells in rows]
        lines.append('')
        for i, (text, is_command) in enumerate(remarks, 1):
            lines.append(f'{i}. `{text}`' if is_command else f'{i}. {text}')
        parts.append('\n'.join(lines).rstrip() + '\n')
    return '\n'.join(parts)


def summary(reports: Sequence[TableReport]) -> str:
    """How many figures of each table have which status, as a Markdown table."""
    shown = [s for s in STATUSES if any(e.status == s for r in reports for e in r.entries)]
    lines = [_markdown_row(('table', 'about', *shown)), '|---|---|' + '---:|' * len(shown)]
    for report in reports:
        numbers = [sum(entry.status == status for entry in report.entries) for status in shown]
        lines.append(_markdown_row((report.table, report.title, *(str(n or '') for n in numbers))))
    return '\n'.join(lines) + '\n'


def as_json(reports: Sequence[TableReport]) -> dict[str, Any]:
    """The report as plain values: what is not there is left out, but for published and value."""
    return {
        'tables': [
            {
                'table': report.table,
                'title': report.title,
                'rows': [_plain(entry) for entry in report.entries],
            }
            for report in reports
        ]
    }


def _plain(entry: Entry) -> dict[str, Any]:
    content = dataclasses.asdict(entry)
    if isinstance(entry.value, float):
        content['value'] = _rounded(entry.value)
    if entry.error is not None:
        content['error'] = round(entry.error, 4)
    always = ('published', 'value')
    return {key: value for key, value in content.items() if value is not None or key in always}


def _numbered(report: TableReport) -> tuple[list[tuple[str, ...]], list[_Remark]]:
    """Rows of cells, whose last has the numbers of the remarks, and the remarks."""
    remarks: list[_Remark] = []
    rows: list[tuple[str, ...]] = []
    last_row = None
    for metrics, entry in _grouped(report.entries):
        own = _remarks(entry)
        remarks += [remark for remark in own if remark not in remarks]
        numbers = ''.join(f' [{remarks.index(remark) + 1}]' for remark in own)
        rows.append(
            (
                '' if entry.row == last_row else entry.row,
                ', '.join(metrics),
                _text(entry.published),
                _text(entry.value),
                '' if entry.error is None else f'{100 * entry.error:+.1f}%',
                entry.status + numbers,
            )
        )
        last_row = entry.row
    return rows, remarks


def _grouped(entries: Sequence[Entry]) -> Iterator[tuple[list[str], Entry]]:
    """Figures of a row that share everything but their names, of which nothing is known, as one."""
    names: list[str] = []
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        names.append(entry.metric)
        alike = following is not None and dataclasses.replace(following, metric=entry.metric)
        if alike != entry or entry.value is not None or entry.published is not None:
            yield names, entry
            names = []


def _remarks(entry: Entry) -> list[_Remark]:
    texts = [entry.reason, entry.note, entry.source and f'from {entry.source}']
    remarks = [_Remark(text) for text in texts if text]
    if entry.command:
        remarks.append(_Remark(entry.command, is_command=True))
    return remarks


def _text(value: float | str | None) -> str:
    if isinstance(value, float):
        return f'{_rounded(value):g}'
    return '' if value is None else str(value)


def _rounded(value: float) -> float:
    return round(value, 2) if abs(value) >= 1 else float(f'{value:.3g}')


def _title(report: TableReport) -> str:
    name = report.table if report.table == 'Runtime' else f'Table {report.table}'
    return f'{name}: {report.title}'


def _markdown_row(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'
