"""TIFF files of every mode, orientation and compression, in all readers of photos."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from dualattn_mm.datasets import LoadPhoto
from dualattn_mm.evaluation import ColorizationPSNR
from dualattn_mm.evaluation.folders import measure
from dualattn_mm.utils.image_io import read_header, read_image
from dualattn_mm.utils.pixels import to_pixels

ORIENTATION = 274
# From the EXIF standard: how the stored rows and columns relate to the upright image.
UPRIGHT = {
    1: lambda s: s,
    2: lambda s: s[:, ::-1],
    3: lambda s: s[::-1, ::-1],
    4: lambda s: s[::-1],
    5: lambda s: s.swapaxes(0, 1),
    6: lambda s: np.rot90(s, -1),
    7: lambda s: s[::-1, ::-1].swapaxes(0, 1),
    8: lambda s: np.rot90(s),
}
LOSSLESS = ('raw', 'tiff_lzw', 'tiff_adobe_deflate', 'packbits')
COMPRESSIONS = {
    '1': (*LOSSLESS, 'group3', 'group4'),
    'L': (*LOSSLESS, 'jpeg'),
    'LA': LOSSLESS,
    'P': LOSSLESS,
    'I;16': LOSSLESS,
    'I;16B': ('raw',),
    'RGB': (*LOSSLESS, 'jpeg'),
    'RGBA': LOSSLESS,
    'RGBX': LOSSLESS,
    'CMYK': (*LOSSLESS, 'jpeg'),
}


def picture(mode):
    """64 x 52, different in every row and column."""
    photo = Image.fromarray(astronaut()[::8, ::10])
    if mode.startswith('I;16'):
        values = np.asarray(photo.convert('L')).astype(np.uint16) * 257 + 31
        order = '>u2' if mode == 'I;16B' else '<u2'
        return Image.frombytes(mode, photo.size, values.astype(order).tobytes())
    if mode in ('LA', 'RGBA'):
        photo.putalpha(Image.linear_gradient('L').resize(photo.size))
    return photo.quantize(64) if mode == 'P' else photo.convert(mode)


def expected(stored):
    """(color, alpha) of an image of orientation 1, by Pillow's own conversions."""
    array = np.asarray(stored)
    if stored.mode.startswith('I;16'):
        return array.astype(np.uint16), None
    if stored.mode in ('LA', 'RGBA'):
        return array[..., :-1].squeeze(), array[..., -1]
    return np.asarray(stored.convert('L' if stored.mode in '1L' else 'RGB')), None


@pytest.mark.parametrize(
    ('mode', 'compression'), [(mode, c) for mode, all_ in COMPRESSIONS.items() for c in all_]
)
def test_turned_tiff_is_upright(tmp_path, mode, compression):
    for orientation, turn in UPRIGHT.items():
        path = tmp_path / f'{orientation}.tif'
        tags = {ORIENTATION: orientation}
        picture(mode).save(path, compression=compression, tiffinfo=tags)
        if orientation == 1:
            with Image.open(path) as stored:
                color, alpha = expected(stored)
        found = to_pixels(read_image(path))
        np.testing.assert_array_equal(found.color, turn(color), f'orientation {orientation}')
        assert (found.alpha is None) == (alpha is None)
        if alpha is not None:
            np.testing.assert_array_equal(found.alpha, turn(alpha))
        assert read_header(path).pixels == color.shape[0] * color.shape[1]
        trained = LoadPhoto()(dict(img_path=str(path)))
        rgb = np.atleast_3d(color // 257 if color.dtype == np.uint16 else color)
        upright = np.broadcast_to(turn(rgb), (*turn(color).shape[:2], 3))
        np.testing.assert_array_equal(trained['img'].permute(1, 2, 0), upright)
        assert trained['ori_shape'] == upright.shape[:2]


@pytest.mark.parametrize('mode', COMPRESSIONS)
def test_turned_tiff_that_the_caller_opened_by_its_name_is_upright(tmp_path, mode):
    color, alpha = expected(picture(mode))
    path = tmp_path / 'a.tif'
    for orientation, turn in UPRIGHT.items():
        picture(mode).save(path, compression='raw', tiffinfo={ORIENTATION: orientation})
        with Image.open(path) as image:
            found = to_pixels(image)
            assert str(image.filename) == str(path)
        np.testing.assert_array_equal(found.color, turn(color), f'orientation {orientation}')
        if alpha is not None:
            np.testing.assert_array_equal(found.alpha, turn(alpha))


def test_turned_tiff_is_measured_upright(tmp_path):
    truth, results = tmp_path / 'truth', tmp_path / 'results'
    truth.mkdir()
    results.mkdir()
    for mode in ('L', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16'):
        for orientation, turn in UPRIGHT.items():
            name = f'{mode.replace(";", "")}_{orientation}'
            tags = {ORIENTATION: orientation}
            picture(mode).save(results / f'{name}.tif', tiffinfo=tags)
            color, _ = expected(picture(mode))
            eight_bit = color // 257 if color.dtype == np.uint16 else color
            upright = np.ascontiguousarray(turn(eight_bit.astype(np.uint8)))
            Image.fromarray(upright).convert('RGB').save(truth / f'{name}.png')
    figures = measure(truth, {'ours': results}, lambda: [ColorizationPSNR()], None, 'cpu')
    [psnr] = figures['ours'].values()
    assert psnr >= 100
