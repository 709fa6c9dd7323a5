import argparse
from pathlib import Path

import pytest

from dualattn_mm.utils.arguments import named_folder, natural


def test_natural_accepts_positive_integers():
    assert [natural(text) for text in ('1', '12', '007')] == [1, 12, 7]


@pytest.mark.parametrize('text', ['0', '-1', '1.5', 'x', '', '1e3'])
def test_natural_rejects_anything_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a positive integer"):
        natural(text)


def test_named_folder_is_split_at_the_first_equals_sign():
    assert named_folder('ours=a/b') == ('ours', Path('a/b'))
    assert named_folder('ours=a=b') == ('ours', Path('a=b'))


@pytest.mark.parametrize('text', ['ours', '=folder', 'ours=', ''])
def test_named_folder_without_a_part_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match='does not have the form NAME=FOLDER'):
        named_folder(text)
