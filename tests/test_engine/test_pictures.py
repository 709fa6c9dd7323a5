"""The names under which predictions are saved."""

from pathlib import Path

import pytest

from dualattn_mm.engine.hooks.pictures import picture_names
from dualattn_mm.utils.errors import UserError


def names(sources, root='/photos'):
    return [picture_names(sources, root)[source].as_posix() for source in sources]


def test_as_the_photos_below_their_folder():
    assert names(['/photos/a.jpg', '/photos/n01/a.b.JPEG']) == ['a.png', 'n01/a.b.png']
    assert names(['photos/../photos/a.jpg'], 'photos') == ['a.png']


def test_photos_that_differ_in_the_suffix_keep_it():
    sources = ['/photos/a.jpg', '/photos/a.png', '/photos/b.jpg', '/photos/x/a.jpg']
    assert names(sources) == ['a.jpg.png', 'a.png.png', 'b.png', 'x/a.png']


def test_photos_of_a_list_can_be_outside_the_root():
    assert names(['/photos/a.jpg', '/other/x/a.jpg']) == ['photos/a.png', 'other/x/a.png']
    assert names(['/other/a.jpg']) == ['a.png']


def test_two_of_one_name_are_refused():
    with pytest.raises(UserError, match=r'would both be saved as a\.jpg\.png'):
        names(['/photos/a.jpg', '/photos/a.png', '/photos/a.jpg.bmp'])


def test_names_stay_below_the_folder():
    assert not any(Path(n).is_absolute() or '..' in n for n in names(['/x/a.jpg', '/y/b.jpg']))
