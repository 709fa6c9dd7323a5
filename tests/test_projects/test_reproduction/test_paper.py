"""published.yml and rows.yml, each against what is known of the other and of itself."""

import pytest

from dualattn_mm.models.backbones.attention import ATTENTION_KINDS
from projects.reproduction.paper import TRUTH, colorfulness_of_truth

NUMBERS = ['I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX', 'X', 'XI', 'XII', 'XIII']


def values(table, row):
    return [value for figure, value, _ in table.figures() if figure.row == row]


def test_published_has_every_table_of_the_paper(paper):
    assert list(paper) == [*NUMBERS, 'Runtime', 'Fig. 7']
    assert [len(paper[name].rows) for name in NUMBERS] == [
        12,
        12,
        10,
        5,
        52,
        10,
        17,
        5,
        9,
        21,
        4,
        4,
        8,
    ]


def test_published_numbers_are_the_paper_s(paper):
    assert 'Cascade Mask R-CNN' in paper['VII'].title
    assert 'COCO, Mask R-CNN' in paper['X'].title
    printed = '896 x 896', '53.3', '73.3', '58.3', '45.7', '70.6', '49.8', '498', '123'
    assert tuple(values(paper['VII'], 'Dual-Attention-S')) == printed
    assert values(paper['X'], 'Dual-Attention-S') == ['64.9', '369', '50.1', '44.8']
    assert values(paper['IX'], 'CvT-21') == ['32', '24.9', '83.30'], 'as printed'


def test_published_dash_is_no_figure(paper):
    assert values(paper['V'], 'CIC') == []
    assert len(values(paper['I'], 'Zhang et al.')) == 12
    assert values(paper['VI'], 'schedule') == ['cosine']


def test_published_truth_is_one_for_each_data_set(paper):
    assert values(paper['I'], TRUTH) == ['39.09', '36.85', '42.75', '35.04']


def test_published_truth_of_rows_that_disagree_is_an_error():
    rows = dict(a=[['1', '40', '2']], b=[['1', '45', '2']])
    with pytest.raises(ValueError, match='unpack'):
        colorfulness_of_truth(dict(columns=['photos'], rows=rows))


def test_published_classes_have_the_mean_average_precision(paper):
    for row in paper['XI'].rows:
        classes = [float(value) for value in values(paper['XI'], row)]
        assert 100 * sum(classes) / 10 == pytest.approx(
            float(values(paper['XII'], row)[0]), abs=0.02
        )


def test_rows_that_are_ours_are_printed(paper):
    for table in paper.values():
        assert set(table.ours) <= set(table.rows)
        assert set(table.networks) in (set(), set(table.columns))


def test_rows_of_one_network_share_a_folder(paper):
    rows = [row for table in paper.values() for row in table.ours.values()]
    folders = {}
    for row in rows:
        folders.setdefault(row.work_dir, set()).add(f'{row.config} {row.options}')
    assert all(len(networks) == 1 for networks in folders.values())
    assert len(folders) == 43  # those of Runtime and of 42 trainings
    assert paper['III'].ours['FCA-SDA'].work_dir == paper['I'].ours['Ours'].work_dir


def test_rows_have_the_arrangement_and_queries_of_their_names(paper):
    for name, row in paper['III'].ours.items():
        order = row.options.get('model.generator.encoder.order', ['fca', 'sda'])
        assert '-'.join(order).upper() == name
        assert set(order) <= set(ATTENTION_KINDS)
    for name, row in paper['IV'].ours.items():
        assert name == f'K = {row.options["model.generator.num_queries"]}'
