from dualattn_mm.utils.errors import shortened, summarize


def test_shortened_names_three_at_most():
    assert shortened(['a']) == 'a'
    assert shortened(['a', 'b', 'c']) == 'a, b, c'
    assert shortened(['a', 'b', 'c', 'd', 'e']) == 'a, b, c, ...'


def test_summarize_counts_each_kind_and_leaves_out_empty_ones():
    kinds = dict(missing=['x'], unexpected=[], wrong=[1, 2, 3, 4])
    assert summarize(kinds) == '1 missing (x); 4 wrong (1, 2, 3, ...)'
    assert summarize(dict(missing=[])) == ''
