"""docs/reproduction.md: that it is up to date, and its arithmetic against networks built here."""

from pathlib import Path

import pytest
import torch

from dualattn_mm.models import DualAttention
from projects.reproduction.page import markdown, page

DOCS = Path(__file__).parents[3] / 'docs' / 'reproduction.md'


@pytest.fixture(scope='module')
def text(paper, tables):
    return page(paper, tables)


def test_page_is_up_to_date(text):
    assert DOCS.read_text() == text, 'python tools/reproduce.py --markdown docs/reproduction.md'


def test_page_starts_with_the_status_of_the_figures(text):
    head = text.splitlines()[:14]
    for words in ('57 are reproduced', '20 are not reproducible', '198 have not been run', '39.09'):
        assert any(words in line for line in head)


def test_page_has_a_section_for_each_contradiction(text, entries):
    titles = [line for line in text.splitlines() if line.startswith('**') and line[2].isdigit()]
    assert [line[2] for line in titles] == list('12345678')
    assert {entry.excluded_by for entry in entries.values()} == {None, 1, 2, 3, 4, 5, 8}


def test_contradictions_name_the_size_of_a_pair(text):
    def parameters(width, pairs):
        arch = dict(embed_dims=[width * 2**i for i in range(4)], depths=(1, 1, pairs, 1))
        with torch.device('meta'):
            network = DualAttention(arch | dict(stem_channels=64))
        return sum(p.numel() for p in network.parameters()) / 1e6

    small, base = (parameters(width, 9) - parameters(width, 8) for width in (96, 128))
    assert f'A pair has {small:.2f} M\nparameters at the width of S and {base:.2f} M at' in text
    assert f'51.2 M would be {8 + (51.2 - 46.34) / small:.1f} pairs' in text
    assert f'77.8 M {8 + (77.8 - 82.02) / base:.1f}.' in text


@pytest.mark.parametrize(
    'words',
    [
        'T: 28.7 M and 27.6 M, counted 28.48 M',
        'S: 51.2 M and 51.9 M, counted 46.34 M',
        'B: 77.8 M and 79.3 M, counted 82.02 M',
        '| IX | Dual-Attention-B | 8 | 7.6 | 9.0 |',
        '| X | Dual-Attention-S | 8 | 7.7 | 9.4 |',
        '15.1 / 5.3 = 2.85',
        '(384 / 224)^2 = 2.94',
        '123 M - 87 M = 36 M',
        'differ by 17.9 M',
        'cost 627 GMAC',
        'convolutions are 387; printed are 417 G and 498 G',
        '| VoxelNet | 14 to 21 | 23.8 of 71.4 ms | 62.9 GMAC, 9.7 ms | 16.2 frames a second |',
        '| PointPillars | 11 to 17 | 32.1 of 90.9 ms | 37.6 GMAC, 5.8 ms | 11.7 frames a second |',
        'fit both: 55.09 M and 55.14 M',
        'DDColor on COCO-Stuff (7.24 against\n7.56) and ColorFormer on ADE20K (8.83 against 9.51)',
        '38.50 + 0.49 = 38.99',
    ],
)
def test_contradiction_has_its_arithmetic(text, words):
    assert words in text


def test_table_shows_ours_below_the_printed_row(paper, tables):
    lines = markdown(paper['V'], tables['V']).splitlines()
    (i,) = (i for i, line in enumerate(lines) if 'Dual-Attention-Small' in line)
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[i : i + 2]]
    assert cells[0] == ['**Dual-Attention-Small**', '51.2', '9.1', '84.4', '2 [2, 3], 1 not run']
    assert cells[1] == ['*here*', '46.34 [2]', '8.697 [3]', '-', '']
    assert '| ResNet-50 ' in lines[4]
    assert len({len(line) for line in lines[2:]}) == 1, 'aligned'
    assert '*here*' not in markdown(paper['VI'], tables['VI']), 'the settings are equal'
