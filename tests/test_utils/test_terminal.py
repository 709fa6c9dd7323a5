import io
import sys

import pytest

from dualattn_mm.utils.terminal import accept_any_text, print_line, printable


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('photo (1).jpg', 'photo (1).jpg'),
        ('写真\u3000Ünter\xa0den.jpg', '写真\u3000Ünter\xa0den.jpg'),
        ('\u0645\u06cc\u200c\u062e.jpg', '\u0645\u06cc\u200c\u062e.jpg'),
        ('a\n9 done, 0 failed', r'a\n9 done, 0 failed'),
        ('\x1b[2J\x1b]0;title\x07\r', r'\x1b[2J\x1b]0;title\x07\r'),
        ('\x9b1A', r'\x9b1A'),
        ('one\u2028two\x85', r'one\u2028two\x85'),
        ('gpj.\u202eexe', r'gpj.\u202eexe'),
        (b'caf\xe9.jpg'.decode('utf-8', 'surrogateescape'), r'caf\udce9.jpg'),
        (ValueError('\t'), r'\t'),
    ],
)
def test_printable_escapes_terminal_control_characters(text, shown):
    assert printable(text) == shown


def test_print_line_prints_one_line(capsys):
    print_line('a\nb')
    print_line('\x1bc', sys.stderr)
    assert capsys.readouterr() == ('a\\nb\n', '\\x1bc\n')


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1'])
def test_accept_any_text_escapes_characters_outside_the_encoding(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, 'strict')
    monkeypatch.setattr(sys, 'stdout', stream)
    accept_any_text()
    print_line('写真 -> out')
    assert stream.buffer.getvalue() == rb'\u5199\u771f -> out' + b'\n'
