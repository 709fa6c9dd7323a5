import io
import json
import re
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import nn
from torch.profiler import ProfilerActivity, profile

from dualattn_mm.apis import ColorizationPipeline, ColorizeError
from dualattn_mm.utils.image_io import read_image


def gray_to_lab(gray, full=255):
    return rgb2lab(np.repeat(gray[..., None] / full, 3, axis=2))


class Ramps(nn.Module):
    """a rises from left to right, b from top to bottom, -20 to 20."""

    def forward(self, lightness):
        _, _, height, width = lightness.shape
        a = torch.linspace(-20, 20, width).expand(height, width)
        b = torch.linspace(-20, 20, height)[:, None].expand(height, width)
        return torch.stack((a, b)).expand(len(lightness), 2, height, width)


@pytest.fixture
def pipe(uniform_color):
    return ColorizationPipeline.from_generator(uniform_color(), size=32, batch_size=2)


@pytest.mark.parametrize(('ab', 'brightest'), [((12.0, -20.0), 210), ((-1.0, 9.0), 255)])
def test_gray_and_color_are_joined_as_scikit_image_does(uniform_color, rng, ab, brightest):
    gray = rng.integers(0, brightest + 1, (41, 63), dtype=np.uint8)
    lab = gray_to_lab(gray)
    # Color fades towards black and white.
    fade = np.interp(lab[..., 0], [1, 7, 92.5, 98.5], [0, 1, 1, 0])
    lab[..., 1:] = fade[..., None] * ab
    pipe = ColorizationPipeline.from_generator(uniform_color(ab), size=32)
    np.testing.assert_allclose(pipe(gray), lab2rgb(lab) * 255, atol=0.6)


def test_white_margins_and_black_bars_stay_neutral(rng):
    pipe = ColorizationPipeline()
    photo = np.tile(np.arange(40, 200, dtype=np.uint8), (120, 1))
    for least, greatest in (0, 5), (250, 255):
        framed = rng.integers(least, greatest + 1, (160, 200), dtype=np.uint8)
        framed[20:140, 20:180] = photo
        difference = np.abs(pipe(framed).astype(int) - framed[..., None]).max(axis=-1)
        difference[20:140, 20:180] = 0
        assert difference.max() <= 2


@pytest.mark.parametrize('ab', [(12.0, -20.0), (60.0, 60.0), (-90.0, 80.0)])
def test_lightness_is_kept_where_the_color_is_out_of_gamut(uniform_color, ab):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    out = ColorizationPipeline.from_generator(uniform_color(ab), size=32)(gray)
    lightness = np.interp(rgb2lab(out)[..., 0], gray_to_lab(gray)[..., 0].ravel(), np.arange(256))
    assert np.abs(lightness - gray).max() <= 1  # of 255
    assert np.ptp(out[0, 0]) == np.ptp(out[-1, -1]) == 0  # black and white are neutral


def test_lightness_of_the_original_is_kept_at_full_resolution(pipe, rng):
    gray = rng.integers(40, 210, (200, 301), dtype=np.uint8)  # the color is in gamut there
    out = pipe(gray)
    assert np.abs(rgb2lab(out)[..., 0] - gray_to_lab(gray)[..., 0]).max() < 0.5
    assert np.abs(rgb2lab(out)[..., 1:] - (12, -20)).max() < 1.5


def test_lightness_of_color_input_is_that_of_its_rgb(pipe, rng):
    rgb = rng.integers(0, 256, (33, 20, 3), dtype=np.uint8)
    lightness = pipe.prepare(rgb).lightness
    np.testing.assert_allclose(lightness, rgb2lab(rgb)[..., 0], atol=1e-3)


@pytest.mark.parametrize('shape', [(30, 40), (30, 40, 3)])
@pytest.mark.parametrize('dtype', ['<u2', '>u2'])
def test_sixteen_bits_count(pipe, rng, shape, dtype):
    image = rng.integers(0, 65536, shape).astype(dtype)
    rgb = image / 65535 if len(shape) == 3 else np.repeat(image[..., None] / 65535, 3, axis=2)
    lightness = pipe.prepare(image).lightness
    np.testing.assert_allclose(lightness, rgb2lab(rgb)[..., 0], atol=1e-3)
    assert len(np.unique(lightness)) > 600  # 8 bits have 256 levels
    assert pipe(image).dtype == np.uint16


def test_color_lands_where_the_network_puts_it():
    pipe = ColorizationPipeline.from_generator(Ramps(), size=48)
    lab = rgb2lab(pipe(np.full((60, 150), 140, np.uint8)))
    ramp_x, ramp_y = np.linspace(-20, 20, 150), np.linspace(-20, 20, 60)
    assert np.abs(lab[..., 1] - ramp_x).max() < 1.5
    assert np.abs(lab[..., 2] - ramp_y[:, None]).max() < 1.5


@pytest.mark.parametrize('height', [30, 97, 700])  # fewer rows than the network's, more, many bands
def test_enlarging_in_bands_equals_enlarging_at_once(two_convs, rng, height):
    pipe = ColorizationPipeline.from_generator(two_convs(), size=64)
    photo = pipe.prepare(rng.integers(70, 190, (height, 150), dtype=np.uint8))
    ab = torch.from_numpy(rng.uniform(-15, 15, (2, 64, 64)).astype(np.float32))
    whole = F.interpolate(ab[None], (height, 150), mode='bilinear', antialias=True)[0]
    lab = torch.cat((photo.lightness[None], whole)).permute(1, 2, 0)
    np.testing.assert_allclose(pipe.finish(photo, ab), lab2rgb(lab.numpy()) * 255, atol=0.6)


@pytest.mark.parametrize('shape', [(30, 40), (97, 501), (501, 97), (20, 400), (400, 20)])
def test_shrinking_in_bands_equals_shrinking_at_once(pipe, rng, shape):
    photo = pipe.prepare(rng.integers(0, 256, shape, dtype=np.uint8))
    whole = F.interpolate(photo.lightness[None, None], (32, 32), mode='bilinear', antialias=True)
    torch.testing.assert_close(photo.square, whole[0], rtol=0, atol=1e-3)


def test_parts_of_a_very_wide_image_are_joined(two_convs, rng):
    pipe = ColorizationPipeline.from_generator(two_convs(), size=32)
    photo = pipe.prepare(rng.integers(70, 190, (3, 40_000, 3), dtype=np.uint8))
    ab = torch.from_numpy(rng.uniform(-15, 15, (2, 32, 32)).astype(np.float32))
    whole = F.interpolate(ab[None], (3, 40_000), mode='bilinear', antialias=True)[0]
    lab = torch.cat((photo.lightness[None], whole)).permute(1, 2, 0)
    np.testing.assert_allclose(pipe.finish(photo, ab), lab2rgb(lab.numpy()) * 255, atol=0.6)


@pytest.mark.parametrize('shape', [(200_000, 1), (1, 200_000), (1, 200_000, 3)])
def test_narrow_images_need_no_more_memory_than_others(pipe, rng, tmp_path, shape):
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        photo = pipe.prepare(image)  # one step after the other, in the thread that is profiled
        pipe.finish(photo, pipe.predict([photo])[0])
    profiler.export_chrome_trace(str(tmp_path / 'trace.json'))
    events = json.loads((tmp_path / 'trace.json').read_text())['traceEvents']
    sizes = [event['args']['Bytes'] for event in events if event['name'] == '[memory]']
    # The lightness has 4 bytes per pixel, and the weights with which PyTorch shrinks it have 8.
    assert 4 * 200_000 <= max(sizes) < 10 * 200_000


def test_network_input_is_the_image_resized_to_a_square(uniform_color):
    seen = []
    generator = uniform_color()
    generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pipe = ColorizationPipeline.from_generator(generator, size=33)
    stripes = np.zeros((330, 66), np.uint8)
    stripes[:, ::2] = 255
    pipe(stripes)
    assert seen[0].shape == (1, 1, 33, 33)
    # antialiased: the mean of L 0 and 100, where sampling would give stripes
    assert (seen[0][..., 1:-1] - 50).abs().max() < 1


@pytest.mark.parametrize('size', [(1, 1), (1, 5000), (5000, 1), (7, 900), (31, 33)])
def test_any_size(pipe, size, rng):
    out = pipe(rng.integers(0, 256, size, dtype=np.uint8))
    assert out.shape == (*size, 3)
    assert pipe(Image.new('L', size[::-1])).size == size[::-1]


MODES = ['1', 'L', 'LA', 'La', 'P', 'PA', 'RGB', 'RGBX', 'RGBA', 'RGBa', 'CMYK', 'YCbCr', 'I;16']


@pytest.mark.parametrize('mode', MODES)
def test_pil_modes(pipe, mode):
    """A gray patch of any mode gets the same color."""
    base = Image.new('L', (9, 5), 128)
    if mode == 'I;16':
        image = Image.fromarray(np.full((5, 9), 128 * 257, np.uint16))
    elif mode in ('1', 'La', 'PA', 'RGBa'):
        via = {'La': 'LA', 'PA': 'P', 'RGBa': 'RGBA'}.get(mode, 'L')
        image = (base.point(lambda _: 255) if mode == '1' else base.convert(via)).convert(mode)
    else:
        image = base.convert(mode)
    assert image.mode == mode
    before = image.tobytes()
    out = pipe(image)
    assert isinstance(out, Image.Image)
    assert out.mode == ('RGBA' if 'a' in mode.lower() else 'RGB')
    assert image.tobytes() == before
    lightness = rgb2lab(np.full((1, 1, 3), 1.0 if mode == '1' else 128 / 255))[0, 0, 0]
    color = (0, 0) if mode == '1' else (12, -20)  # white has none
    expected = lab2rgb(np.array([[[lightness, *color]]])) * 255
    np.testing.assert_allclose(np.asarray(out.convert('RGB'))[2, 4], expected[0, 0], atol=1.1)


@pytest.mark.parametrize('shape', [(6, 8), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_arrays_in_arrays_out(pipe, rng, shape, dtype):
    image = rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    out = pipe(image)
    assert out.shape == (6, 8, 4 if shape[2:] == (4,) else 3)
    assert out.dtype == dtype
    np.testing.assert_array_equal(pipe(np.asfortranarray(image)), out)
    np.testing.assert_array_equal(pipe(image[::-1])[::-1], out)


def test_alpha_is_kept(pipe, rng):
    rgba = rng.integers(0, 256, (10, 12, 4), dtype=np.uint8)
    np.testing.assert_array_equal(pipe(rgba)[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(np.asarray(pipe(Image.fromarray(rgba)))[..., 3], rgba[..., 3])
    wide = rgba.astype(np.uint16) * 257
    np.testing.assert_array_equal(pipe(wide)[..., 3], wide[..., 3])


def test_list_equals_one_by_one(two_convs, rng):
    pipe = ColorizationPipeline.from_generator(two_convs(), size=32, batch_size=2)
    images = [rng.integers(0, 256, (n, 60 - n), dtype=np.uint8) for n in (20, 35, 50)]
    images.append(Image.fromarray(images[0]))
    together = pipe(images)
    assert isinstance(together, list)
    for image, out in zip(images, together, strict=True):
        assert type(out) is type(image)
        difference = np.asarray(out).astype(int) - np.asarray(pipe(image))
        assert np.abs(difference).max() <= 1
    assert len(pipe(tuple(images))) == 4
    assert pipe([]) == []


def test_stream_is_lazy(pipe):
    taken = []

    def endless():
        while True:
            taken.append(threading.current_thread())
            yield np.zeros((4, 4), np.uint8)

    stream = pipe.stream(endless())
    assert taken == []
    for given in range(7):
        next(stream)
        assert len(taken) <= given + 3 * pipe.batch_size
    assert set(taken) == {threading.current_thread()}
    stream.close()


@pytest.mark.parametrize('as_pil', [False, True])
def test_stream_leaves_the_source_free_to_reuse_an_image(pipe, as_pil):
    """The source can be a camera buffer, or `ImageSequence.Iterator`."""
    levels = range(60, 200, 10)
    buffer = np.empty((6, 5, 4), np.uint8)
    picture = Image.new('RGBA', (5, 6))

    def source():
        for level in levels:
            buffer[:] = level
            picture.paste((level,) * 4, (0, 0, 5, 6))
            yield picture if as_pil else buffer

    for level, result in zip(levels, pipe.stream(source()), strict=True):
        expected = pipe(np.full((6, 5, 4), level, np.uint8))
        np.testing.assert_array_equal(np.asarray(result), expected)


def test_an_image_twice_in_a_list(pipe, tmp_path):
    Image.fromarray(np.arange(2400, dtype=np.uint8).reshape(40, 60)).save(tmp_path / 'a.png')
    image = Image.open(tmp_path / 'a.png')  # not yet decoded
    first, *others = pipe([image] * 5)
    assert all(np.array_equal(first, other) for other in others)


def test_results_come_before_an_error(pipe):
    good, bad = np.zeros((4, 4), np.uint8), np.zeros(4, np.uint8)

    def broken():
        yield good
        raise OSError('the camera is gone')

    for images, before, error in (
        ([good, good, good, bad, good], 3, ColorizeError),
        (broken(), 1, OSError),
    ):
        stream = pipe.stream(images)
        assert [next(stream).shape for _ in range(before)] == [(4, 4, 3)] * before
        with pytest.raises(error):
            next(stream)


def test_saturation(pipe):
    gray = np.full((8, 8), 120, np.uint8)
    assert np.ptp(pipe(gray, saturation=0), axis=2).max() == 0
    lab = rgb2lab(pipe(gray, saturation=1.5))
    assert np.abs(lab[..., 1:] - (18, -30)).max() < 1


def test_saturation_that_suits_the_weights(uniform_color):
    gray = np.full((8, 8), 120, np.uint8)
    generator = uniform_color()
    generator.saturation = 1.5
    pipe = ColorizationPipeline.from_generator(generator, size=32)
    assert np.abs(rgb2lab(pipe(gray))[..., 1:] - (18, -30)).max() < 1
    assert np.abs(rgb2lab(pipe(gray, saturation=1.0))[..., 1:] - (12, -20)).max() < 1


def test_color_is_clamped_before_the_conversion(uniform_color, rng):
    gray = rng.integers(0, 256, (16, 16), dtype=np.uint8)
    wild = ColorizationPipeline.from_generator(uniform_color((1e30, -1e30)), size=32)
    bound = ColorizationPipeline.from_generator(uniform_color((127.0, -128.0)), size=32)
    np.testing.assert_array_equal(wild(gray), bound(gray))
    np.testing.assert_array_equal(wild(gray, saturation=1e30), bound(gray))


def test_nan_from_the_network_is_an_error(uniform_color):
    pipe = ColorizationPipeline.from_generator(uniform_color((float('nan'), 0.0)), size=32)
    with pytest.raises(ColorizeError, match='NaN'):
        pipe(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize('training', [True, False])
def test_a_given_network_keeps_its_mode(uniform_color, training):
    modes = []
    generator = uniform_color().train(training)
    generator.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    ColorizationPipeline.from_generator(generator, size=32)(np.zeros((4, 4), np.uint8))
    assert modes == [False]
    assert generator.training is training


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_one_clear_line(pipe, error):
    def fail(*_):
        raise error

    pipe.generator.forward = fail
    with pytest.raises(ColorizeError, match=r'not enough memory.* 32.* 1$'):
        pipe(np.zeros((4, 4), np.uint8))


def test_other_errors_of_the_network_pass(pipe):
    def fail(*_):
        raise RuntimeError('shapes do not match')

    pipe.generator.forward = fail
    with pytest.raises(RuntimeError, match='shapes do not match'):
        pipe(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('size', 31),
        ('size', 64.0),
        ('size', '256'),
        ('size', True),
        ('batch_size', 0),
        ('batch_size', None),
        ('device', 'tpu'),
        ('device', 'meta'),
        ('device', None),
    ],
)
def test_wrong_arguments(weights, name, value):
    with pytest.raises(ColorizeError, match=rf'{name} must be .*{value!r}'):
        ColorizationPipeline(weights, **{name: value})


def test_absent_cuda(weights, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ColorizeError, match='cuda'):
        ColorizationPipeline(weights, device='cuda')


def test_apple_gpu_is_given_the_network(weights, monkeypatch):
    given = []

    def load(weights, config, device):
        given.append(device)
        return nn.Identity()

    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: True)
    monkeypatch.setattr('dualattn_mm.apis.pipeline.load_generator', load)
    ColorizationPipeline(weights, device='mps', size=32)
    assert given == [torch.device('mps')]


@pytest.mark.parametrize('value', [-0.1, float('nan'), float('inf'), '1'])
def test_wrong_saturation(pipe, value):
    with pytest.raises(ColorizeError, match='saturation'):
        pipe(np.zeros((4, 4), np.uint8), saturation=value)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4)), 'an array of shape (4, 4) and dtype float64'),
        (np.zeros((4, 4), bool), 'an array of shape (4, 4) and dtype bool'),
        (np.zeros((4, 4), np.int16), 'an array of shape (4, 4) and dtype int16'),
        (np.zeros((4, 4), np.uint32), 'an array of shape (4, 4) and dtype uint32'),
        (np.zeros((4, 4, 2), np.uint8), 'an array of shape (4, 4, 2) and dtype uint8'),
        (np.zeros((0, 4), np.uint8), 'an array of shape (0, 4) and dtype uint8'),
        (np.zeros(4, np.uint8), 'an array of shape (4,) and dtype uint8'),
        (torch.zeros(4, 4), 'an image must be a uint8 or uint16 array'),
        ('photo.jpg', 'or a PIL image, got str'),
        (Image.new('L', (0, 4)), 'the image is empty: its size is 0 x 4'),
        (Image.new('F', (4, 4)), 'floating-point images are not supported'),
        (Image.new('LAB', (4, 4)), 'images in CIELAB are not supported'),
        (Image.new('I', (4, 4), 70000), '32-bit images are not supported'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_wrong_images(pipe, image, message):
    with pytest.raises(ColorizeError, match=re.escape(message)) as error:
        pipe(image)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('format_', ['PNG', 'JPEG', 'TIFF', 'GIF'])
def test_image_cut_short_is_one_line(pipe, rng, format_):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (60, 60), np.uint8)).save(file, format_)
    image = Image.open(io.BytesIO(file.getvalue()[: len(file.getvalue()) // 2]))
    with pytest.raises(ColorizeError, match=r'^cannot be read: '):
        pipe(image)


class Dropping(nn.Module):
    """A network with wrong results in training mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1).eval()  # a part that is frozen
        self.drop = nn.Dropout(0.5)

    def forward(self, lightness):
        time.sleep(0.001)
        return self.drop(torch.full((len(lightness), 2, *lightness.shape[2:]), 20.0))


def test_network_in_training_mode_is_shared_by_threads():
    network = Dropping()
    network.drop.train()
    pipes = [ColorizationPipeline.from_generator(network, size=32) for _ in range(2)]
    image = np.full((8, 8), 128, np.uint8)
    expected = ColorizationPipeline.from_generator(Dropping().eval(), size=32)(image)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: pipes[i % 2](image), range(128)))
    assert all(np.array_equal(result, expected) for result in results)
    assert network.training
    assert network.drop.training
    assert not network.norm.training


def test_network_keeps_its_mode_after_an_error():
    network = Dropping().train()
    network.forward = lambda lightness: 1 / 0
    with pytest.raises(ZeroDivisionError):
        ColorizationPipeline.from_generator(network, size=32)(np.zeros((4, 4), np.uint8))
    assert network.drop.training


@pytest.mark.parametrize('image', [Image.new('L', (30, 40)), np.zeros((40, 30), np.uint8)])
def test_image_above_the_limit_is_refused(uniform_color, image):
    for limit, fits in ((1200, True), (1199, False)):
        pipe = ColorizationPipeline.from_generator(uniform_color(), size=32, max_pixels=limit)
        if fits:
            pipe(image)
            continue
        with pytest.raises(ColorizeError, match='30 x 40 exceeds the limit of 1,199 pixels'):
            pipe(image)


@pytest.mark.filterwarnings('ignore:Image size')
def test_image_above_the_limit_is_not_decoded(uniform_color, tmp_path):
    """631 bytes declare 169 million pixels."""
    buffer = io.BytesIO()
    Image.new('L', (8, 8)).save(buffer, 'JPEG')
    data = bytearray(buffer.getvalue())
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = struct.pack('>HH', 13_000, 13_000)
    (tmp_path / 'bomb.jpg').write_bytes(data)
    pipe = ColorizationPipeline.from_generator(uniform_color(), size=32)
    with pytest.raises(ColorizeError, match='13000 x 13000 exceeds the limit'):
        pipe(Image.open(tmp_path / 'bomb.jpg'))
    with pytest.raises(ColorizeError, match='13000 x 13000 exceeds the limit'):
        read_image(tmp_path / 'bomb.jpg')
