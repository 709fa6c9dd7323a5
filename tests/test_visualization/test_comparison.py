"""Comparison of folders of results."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from dualattn_mm.utils.errors import UserError
from dualattn_mm.visualization import comparison
from dualattn_mm.visualization.comparison import Column, compare

TOOL = Path(__file__).parents[2] / 'tools' / 'gallery.py'
LACKS = r'^a \(.*/a\) has no class0/x; b \(.*/b\) has no class0/photo\.2, class0/x$'
COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


@pytest.fixture
def columns(tmp_path):
    """Four photos of one color each in folders below `a` (PNG) and `b` (BMP; rows reversed)."""
    for label, order, suffix in (('a', COLORS, 'png'), ('b', COLORS[::-1], 'bmp')):
        for i, color in enumerate(order):
            path = tmp_path / label / f'class{i % 2}' / f'photo.{i}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (30, 20), color).save(path)
    return [Column(label, tmp_path / label) for label in 'ab']


def seen(path, rows, count, height=20):
    """Return the color at the center of every image in a grid of equal images."""
    sheet = np.asarray(Image.open(path).convert('RGB'))
    step = (sheet.shape[0] - 32) // rows
    middles = [32 + i * step + height // 2 for i in range(rows)]
    return [
        [tuple(int(v) for v in sheet[y, 8 + j * 38 + 15]) for j in range(count)] for y in middles
    ]


def test_pictures_of_one_name_stand_in_one_row(columns, tmp_path):
    assert compare(columns, tmp_path / 'out.png', height=20) == 4
    # By path: class0/photo.0, class0/photo.2, class1/photo.1, class1/photo.3.
    order = [0, 2, 1, 3]
    expected = [[COLORS[i], COLORS[3 - i]] for i in order]
    assert seen(tmp_path / 'out.png', 4, 2) == expected


def test_files_choose_pictures_and_their_order(columns, tmp_path):
    files = ['class1/photo.3.png', 'class0/photo.0']
    assert compare(columns, tmp_path / 'out.png', files, height=20) == 2
    assert seen(tmp_path / 'out.png', 2, 2) == [[COLORS[3], COLORS[0]], [COLORS[0], COLORS[3]]]


def test_images_missing_in_a_column_are_reported(columns, tmp_path, capsys):
    (tmp_path / 'b' / 'class0' / 'photo.2.bmp').unlink()
    with pytest.raises(UserError, match=LACKS):
        compare(columns, tmp_path / 'out.png', ['class0/photo.2', 'class0/x', 'class0/photo.0'])
    assert not (tmp_path / 'out.png').exists()
    assert compare(columns, tmp_path / 'out.png', rows=2, height=20) == 2
    assert capsys.readouterr().err == 'skipped, because not in all columns: class0/photo.2\n'
    assert seen(tmp_path / 'out.png', 2, 2) == [[COLORS[0], COLORS[3]], [COLORS[1], COLORS[2]]]


def test_a_column_without_color(columns, tmp_path):
    columns[0] = columns[0]._replace(gray=True)
    compare(columns, tmp_path / 'out.png', ['class0/photo.0'], height=20)
    ((gray, _),) = seen(tmp_path / 'out.png', 1, 2)
    assert len(set(gray)) == 1
    lightness = [rgb2lab(np.uint8([[color]]))[0, 0, 0] for color in (gray, COLORS[0])]
    assert lightness[0] == pytest.approx(lightness[1], abs=0.3)


def test_photos_are_upright_and_of_eight_bits(columns, tmp_path):
    photo = Image.new('RGB', (30, 20), 'red')
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    photo.save(tmp_path / 'a' / 'x.png', exif=exif)
    Image.fromarray(np.full((30, 20), 0x8080, np.uint16)).save(tmp_path / 'b' / 'x.png')
    compare(columns, tmp_path / 'out.png', ['x'], height=30)
    sheet = np.asarray(Image.open(tmp_path / 'out.png'))
    assert (sheet == (255, 0, 0)).all(axis=-1).sum() == 20 * 30
    assert (sheet == (128, 128, 128)).all(axis=-1).sum() >= 20 * 30 - 30


def damage(folder):
    (folder / 'a' / 'class0' / 'photo.0.png').write_bytes(b'no picture')


def repeat(folder):
    (folder / 'a' / 'class0' / 'photo.0.bmp').write_bytes(b'')


def rename(folder):
    (folder / 'b').rename(folder / 'c')
    (folder / 'b').mkdir()
    Image.new('RGB', (2, 2)).save(folder / 'b' / 'other.png')


def empty(folder):
    (folder / 'b').rename(folder / 'c')
    (folder / 'b').mkdir()


@pytest.mark.parametrize(
    ('change', 'output', 'message'),
    [
        (damage, 'out.png', 'photo.0.png: not a JPEG'),
        (repeat, 'out.png', 'differ only in their suffix'),
        (rename, 'out.png', 'no image is in all of '),
        (empty, 'out.png', 'no image in '),
        (None, 'out.gif', 'out.gif must end in one of .png'),
        (None, 'a/class0/photo.0.png', 'is one of the images'),
        (None, 'a/class0/photo.0.png/out.png', 'cannot write '),
    ],
)
def test_wrong_arguments_are_reported_in_one_line(columns, tmp_path, change, output, message):
    if change:
        change(tmp_path)
    before = (tmp_path / 'a' / 'class0' / 'photo.0.png').read_bytes()
    with pytest.raises(UserError) as info:
        compare(columns, tmp_path / output)
    assert message in str(info.value)
    assert '\n' not in str(info.value)
    assert (tmp_path / 'a' / 'class0' / 'photo.0.png').read_bytes() == before


def test_columns_need_names_of_their_own(columns, tmp_path):
    with pytest.raises(UserError, match="two columns have the name 'a'"):
        compare([columns[0], columns[0]], tmp_path / 'out.png')


def test_failed_write_keeps_the_old_sheet(columns, tmp_path, monkeypatch):
    compare(columns, tmp_path / 'out.png')
    before = (tmp_path / 'out.png').read_bytes()
    monkeypatch.setattr(os, 'replace', lambda *a: (_ for _ in ()).throw(OSError(28, 'disk full')))
    with pytest.raises(UserError, match=r'cannot write .*out\.png: disk full'):
        compare(columns, tmp_path / 'out.png', rows=1)
    assert (tmp_path / 'out.png').read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {'a', 'b', 'out.png'}


def test_photos_are_made_small_as_they_are_read(columns, monkeypatch, tmp_path):
    sizes = []
    drawn = comparison.gallery

    def record(pictures, *args):
        sizes.extend(image.size for column in pictures.values() for image in column)
        return drawn(pictures, *args)

    monkeypatch.setattr(comparison, 'gallery', record)
    compare(columns, tmp_path / 'out.png', height=10)
    assert set(sizes) == {(15, 10)}


def test_the_tool(columns, tmp_path, run_script, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = '--gray input=a --column A=b --column true=a -o sheets/out.png --rows 2 --height 20'
    status, out, err = run_script(TOOL, *words.split())
    assert (status, err) == (0, '')
    assert out == '2 rows of 3 images -> sheets/out.png\n'
    for gray, other, true in seen(tmp_path / 'sheets' / 'out.png', 2, 3):
        assert len(set(gray)) == 1
        assert COLORS.index(other) + COLORS.index(true) == 3


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('--column a=nix', 'error: folder nix does not exist\n'),
        ('--column a', 'NAME=FOLDER'),
        ('--column a=b --rows 0', '--rows'),
        ('--gray a=b', '--column'),
    ],
)
def test_wrong_use_of_the_tool(words, said, tmp_path, monkeypatch, run_script):
    monkeypatch.chdir(tmp_path)
    status, out, err = run_script(TOOL, *words.split(), '-o', 'out.png')
    assert (status, out) == (2, '')
    assert said in err
