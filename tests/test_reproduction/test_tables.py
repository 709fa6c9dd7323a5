"""configs/reproduction.yml, and what is said of one that is wrong."""

import pytest

from dualattn_mm.engine.run import read_config
from dualattn_mm.models.backbones.dual_attention import ATTENTION_KINDS
from dualattn_mm.reproduction.tables import read_tables
from dualattn_mm.utils.errors import UserError

NAMES = ['I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX', 'X', 'XI', 'XII', 'XIII']
ARRANGEMENTS = [
    *('FCA-SDA', 'FCA-DA', 'CA-SDA', 'SDA-FCA', 'DA-FCA', 'SDA-CA', 'FCA-FCA', 'SDA-SDA'),
    *('FCA', 'SDA'),
]
ENCODERS_AND_DECODERS = [
    *('ResNet-50 + Color-Attention', 'ResNet-50', 'Swin-T + Color-Attention', 'Swin-T'),
    *('Twins-S + Color-Attention', 'Twins-S', 'Dual-Attention + Color-Attention', 'Dual-Attention'),
    *('GLH + CM', 'Dual-Attention + CM'),
]
ROW = """
metrics:
  params: {count: parameters}
  'AP: *': {result: [a/*_x, b/*_x]}
tables:
  - table: A
    title: some
    rows:
      - row: one
        config: configs/mmagic/color_dualattn_t.py
        metrics: [params, 'AP: car']
        published: {params: {figure: 3, within: 1}}
"""


@pytest.fixture
def read(tmp_path):
    def read_(text):
        path = tmp_path / 'tables.yml'
        path.write_text(text)
        return read_tables(path)

    return read_


def test_all_tables_of_the_paper(tables):
    assert [table.name for table in tables] == [*NAMES, 'Runtime']


def test_encoders_and_decoders(tables):
    rows = next(table.rows for table in tables if table.name == 'II')
    assert [row.name for row in rows] == ENCODERS_AND_DECODERS
    for row in rows:
        if row.name.endswith(' + CM'):
            assert row.options['model.generator.head.memory'] == row.first[-1][0]


def test_arrangements_and_numbers_of_queries(tables):
    rows = {table.name: table.rows for table in tables}
    assert [row.name for row in rows['III']] == ARRANGEMENTS
    for row in rows['III']:
        kinds = row.name.lower().split('-')
        assert set(kinds) <= set(ATTENTION_KINDS)
        order = row.options.get('model.generator.encoder.order', ['fca', 'sda'])
        assert order == kinds, row.name
    for row in rows['IV']:
        cfg = read_config(row.config, row.options)
        assert row.name == f'K = {cfg.model.generator.num_queries}'
    assert [row.name for row in rows['IV']] == [f'K = {k}' for k in (50, 100, 150, 200, 500)]


def test_what_is_tested_is_the_row_s_model(openmmlab, tables, root):
    """The test's config has the model of the row, trained with another config."""
    for row in (row for table in tables for row in table.rows if row.config):
        cfg = read_config(str(root / row.config), row.options)
        options = {**row.options, **row.test.options}
        tested = read_config(str(root / row.test.config), options)
        assert tested.model == cfg.model, row.name
        assert tested.test_dataloader
        assert cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters'))


def test_a_star_is_replaced_on_both_sides(read):
    [table] = read(ROW)
    assert table.rows[0].metrics['AP: car'].of == ('a/car_x', 'b/car_x')
    assert table.rows[0].published['params'].figure == 3


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('metrics:', 'metrics: [', 'no YAML'),
        ('tables:', 'other:', "unknown 'other'"),
        ('    title: some\n', '', "no 'title'"),
        ('row: one', 'roe: one', "unknown 'roe'"),
        ('{count: parameters}', '{count: parameters, result: x}', 'needs one of count'),
        ('{count: parameters}', '{}', 'needs one of count'),
        ('{count: parameters}', '3', 'must be a mapping'),
        ("'AP: car'", "'AR: car'", 'is no metric'),
        ('{figure: 3, within: 1}', '{figure: 3}', 'needs one of within'),
        ('{figure: 3, within: 1}', '{within: 1}', "no 'figure'"),
        ('{params: {', '{other: {', 'not among its metrics'),
        ('configs/mmagic/', 'configs/mmocr/', 'mmocr'),
        ('row: one', 'row: one\n        first: [{file: x}]', "first has no 'command'"),
        ("[params, 'AP: car']", '[]', 'list that is not empty'),
    ],
)
def test_a_mistake_is_one_line(read, old, new, said):
    assert ROW.count(old) >= 1
    with pytest.raises(UserError) as info:
        read(ROW.replace(old, new, 1))
    assert said in str(info.value)
    assert '\n' not in str(info.value)


def test_the_same_row_twice(read):
    twice = ROW[ROW.index('      - row') :]
    with pytest.raises(UserError, match="'one' is there twice"):
        read(ROW + twice)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match='cannot read'):
        read_tables(tmp_path / 'none.yml')
