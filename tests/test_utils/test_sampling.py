import pytest

from dualattn_mm.utils.sampling import spread


@pytest.mark.parametrize(
    ('count', 'total', 'expected'),
    [(3, 9, [0, 3, 6]), (6, 2, [0, 1]), (2, 5, [0, 2]), (1, 7, [0]), (3, 0, [])],
)
def test_spread(count, total, expected):
    assert spread(count, total) == expected
