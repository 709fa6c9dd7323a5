"""Consistency checks of published.yml and rows.yml."""

import pytest

from projects.reproduction.paper import TRUTH, colorfulness_of_truth


def values(table, row):
    return [value for figure, value, _ in table.figures() if figure.row == row]


def test_published_has_every_row_of_the_paper(paper):
    assert ', '.join(f'{name} {len(table.rows)}' for name, table in paper.items()) == (
        'I 12, II 12, III 10, IV 5, V 52, VI 10, VII 17, VIII 5, IX 9, X 21, XI 4, XII 4, XIII 8, '
        'Runtime 1, Fig. 7 1'
    )
    printed = [f for t in paper.values() for f, _, _ in t.figures() if f.row != TRUTH]
    assert len(printed) == 778


def test_published_numbers_are_the_paper_s(paper):
    assert 'Cascade Mask R-CNN' in paper['VII'].title
    assert 'COCO, Mask R-CNN' in paper['X'].title
    printed = '896 x 896', '53.3', '73.3', '58.3', '45.7', '70.6', '49.8', '498', '123'
    assert tuple(values(paper['VII'], 'Dual-Attention-S')) == printed
    assert values(paper['X'], 'Dual-Attention-S') == ['64.9', '369', '50.1', '44.8']
    assert values(paper['IX'], 'CvT-21') == ['32', '24.9', '83.30'], 'as printed'


def test_published_dash_is_no_figure(paper):
    assert len(values(paper['I'], 'Zhang et al.')) == 12
    assert values(paper['VI'], 'schedule') == ['cosine']


def test_published_truth_is_one_for_each_data_set(paper):
    assert values(paper['I'], TRUTH) == ['39.09', '36.85', '42.75', '35.04']
    for name in ('II', 'III', 'IV'):
        for row, (_, cf, delta) in paper[name].rows.items():
            left = {round(float(cf) + sign * float(delta), 2) for sign in (-1, 1)}
            assert (39.09 in left) == (row != 'K = 500')
    rows = dict(a=[['1', '40', '2']], b=[['1', '45', '2']])
    with pytest.raises(ValueError, match='unpack'):
        colorfulness_of_truth(dict(columns=['photos'], rows=rows))


def test_published_classes_have_the_mean_average_precision(paper):
    for row in paper['XI'].rows:
        classes = [float(value) for value in values(paper['XI'], row)]
        mean = float(values(paper['XII'], row)[0])
        assert 100 * sum(classes) / 10 == pytest.approx(mean, abs=0.02)


def test_rows_that_are_ours_are_printed(paper):
    for table in paper.values():
        assert set(table.ours) <= {*table.rows, *table.columns}


def test_rows_are_named_by_their_option(paper):
    options = {t: {n: r.network.options for n, r in paper[t].ours.items()} for t in ('III', 'IV')}
    assert options['III']['SDA-CA']['model.generator.encoder.order'] == ['sda', 'ca']
    assert options['III']['FCA']['model.generator.encoder.order'] == ['fca']
    assert options['IV']['K = 200'] == {'model.generator.num_queries': 200}
    assert paper['III'].ours['FCA-SDA'].network is paper['I'].ours['Ours'].network
