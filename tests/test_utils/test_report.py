import io
import sys

import pytest
from rich.table import Table

from dualattn_mm.utils.report import figures_table, methods_table, print_table


def test_names_in_a_table_are_shown_as_they_are(capsys):
    print_table(methods_table({'a[/bold]': dict(FID=1.0), ':smile: \x1b[2J': dict(FID=2.0)}))
    out = capsys.readouterr().out
    assert 'a[/bold]' in out
    assert r':smile: \x1b[2J' in out
    assert '\x1b' not in out


def test_a_title_is_shown_as_it_is(capsys):
    table = Table(title='[/red]\x1b[1A\n.py: at 3 x 4')
    table.add_column('x')
    print_table(table)
    assert capsys.readouterr().out.startswith(r'[/red]\x1b[1A\n.py: at 3 x 4' + '\n┏')


@pytest.mark.parametrize('encoding', ['ascii', 'utf-8'])
def test_a_table_is_printed_in_the_terminal_s_encoding(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, 'stdout', stream)
    print_table(figures_table({'FID': 12.3456}))
    assert '12.35' in stream.buffer.getvalue().decode(encoding)
