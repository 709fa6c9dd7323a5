import pytest

from dualattn_mm.utils.errors import UserError, shortened, summarize, writing_to


def test_shortened_names_three_at_most():
    assert shortened(['a']) == 'a'
    assert shortened(['a', 'b', 'c']) == 'a, b, c'
    assert shortened(['a', 'b', 'c', 'd', 'e']) == 'a, b, c, ...'


def test_summarize_counts_each_kind_and_leaves_out_empty_ones():
    kinds = dict(missing=['x'], unexpected=[], wrong=[1, 2, 3, 4])
    assert summarize(kinds) == '1 missing (x); 4 wrong (1, 2, 3, ...)'
    assert summarize(dict(missing=[])) == ''


def test_writing_to_names_the_file_and_the_reason(tmp_path):
    with pytest.raises(UserError) as caught, writing_to('out.png'):
        (tmp_path / 'no' / 'out.png').touch()
    assert str(caught.value) == 'cannot write out.png: No such file or directory'
    with pytest.raises(UserError) as caught, writing_to('out.png', ValueError):
        raise ValueError('too wide\nfor JPEG')
    assert str(caught.value) == 'cannot write out.png: too wide'
    with pytest.raises(ValueError, match='of another kind'), writing_to('out.png'):
        raise ValueError('of another kind')
