"""Make the valid files that are mutated in the cases."""

import io
import json
import struct
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import torch
from mmengine.registry import MODELS
from PIL import Image, ImageCms, features
from safetensors.torch import save

import dualattn_mm  # noqa: F401 (registers the networks)
from dualattn_mm.apis.weights import FORMAT

GENERATOR: dict[str, Any] = dict(
    type='MultiscalePyramidTransformer',
    encoder=dict(
        type='DualAttention',
        in_channels=1,
        arch=dict(embed_dims=[8, 8, 16, 16], depths=[1, 1, 1, 1], stem_channels=4),
        window_size=2,
        head_dim=8,
        group_dim=8,
        order=['fca', 'sda'],
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=[8, 8, 16, 16], out_channels=[16, 16, 16]),
    head=dict(
        type='ColorAttention', in_channels=16, num_layers=1, num_heads=2, feedforward_channels=32
    ),
    num_queries=8,
    image_size=32,
)
_SIZE = (41, 30)
# The modes and options that Pillow can write in each format.
_PICTURES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(('JPEG', mode, {}) for mode in ('L', 'RGB', 'CMYK')),
    ('JPEG', 'RGB', dict(progressive=True)),
    ('MPO', 'RGB', dict(save_all=True)),
    *(('PNG', mode, {}) for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16')),
    ('WEBP', 'RGB', dict(lossless=True)),
    ('WEBP', 'RGBA', {}),
    ('WEBP', 'RGB', dict(save_all=True)),
    *(('GIF', mode, {}) for mode in ('L', 'P', 'RGBA')),
    *(('BMP', mode, {}) for mode in ('1', 'L', 'P', 'RGB', 'RGBA')),
    *(('TIFF', mode, {}) for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16')),
    ('TIFF', '1', dict(compression='group4')),
    ('TIFF', 'L', dict(compression='tiff_lzw', tiffinfo={274: 6})),
    ('TIFF', 'RGB', dict(compression='jpeg')),
    ('TIFF', 'RGB', dict(compression='tiff_adobe_deflate', tiffinfo={274: 8})),
    ('TIFF', 'I;16', dict(compression='packbits', tiffinfo={262: 0, 274: 5})),
    *((('AVIF', 'RGB', {}), ('AVIF', 'RGBA', {})) if features.check('avif') else ()),
)


@cache
def pictures() -> list[bytes]:
    """Return image files of all formats and modes."""
    return [picture_file(i) for i in range(len(_PICTURES))]


@cache
def animations() -> list[bytes]:
    """Return animated GIF, WebP and PNG files."""
    kinds = ('GIF', 'L'), ('GIF', 'RGBA'), ('WEBP', 'RGB'), ('PNG', 'L'), ('PNG', 'RGBA')
    return [_animation(*kind) for kind in kinds]


def _animation(format_: str, mode: str) -> bytes:
    first = picture(mode)
    others = [first.rotate(90), first.rotate(180)]
    buffer = io.BytesIO()
    first.save(buffer, format_, save_all=True, append_images=others, duration=[40, 80, 120])
    return buffer.getvalue()


@cache
def films() -> list[bytes]:
    """Return MP4, MKV, AVI and WebM files."""
    kinds = (
        ('mp4', 'libx264', 'libmp3lame'),
        ('matroska', 'libx264', 'libmp3lame'),
        ('avi', 'mpeg4', 'libmp3lame'),
        ('webm', 'libvpx-vp9', 'libopus'),
    )
    return [_film(*kind) for kind in kinds]


def _film(container: str, codec: str, sound: str) -> bytes:
    """Return a film of 12 frames with sound, with B-frames except in WebM, and text in MKV."""
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format=container) as output:
        stream = output.add_stream(codec, rate=25, width=64, height=48, pix_fmt='yuv420p')
        if container != 'webm':
            stream.codec_context.max_b_frames = 2
        noise = output.add_stream(sound, rate=48000, layout='mono')
        text = output.add_mux_stream('subrip') if container == 'matroska' else None
        for turn in range(12):
            image = picture('L').rotate(30 * turn).resize((64, 48))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), 'gray')))
        output.mux(stream.encode())
        samples = np.random.default_rng(0).integers(-999, 999, (1, 48 * 480), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, 's16', 'mono')
        frame.sample_rate = 48000
        resampler = av.AudioResampler(noise.format, 'mono', 48000, noise.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            output.mux(noise.encode(part))
        if text is not None:
            packet = av.Packet(b'a line')
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts, packet.dts, packet.duration = 100, 100, 200
            output.mux(packet)
    return buffer.getvalue()


def picture_file(number: int, **metadata: bytes) -> bytes:
    """Return one image file, with `exif` and `icc_profile` if the format can store them."""
    format_, mode, options = _PICTURES[number % len(_PICTURES)]
    options = dict(options)
    if 'save_all' in options:
        options['append_images'] = [picture(mode)]
    if format_ != 'BMP':
        options.update(metadata)
    buffer = io.BytesIO()
    picture(mode).save(buffer, format_, **options)
    return buffer.getvalue()


@cache
def picture(mode: str) -> Image.Image:
    """Draw waves and an edge in every channel."""
    x, y = np.meshgrid(np.linspace(0, 9, _SIZE[0]), np.linspace(0, 7, _SIZE[1]))
    channels = [np.sin(x + i) * np.cos(y * (i + 1)) * 100 + 128 for i in range(4)]
    rgba = np.stack(channels, axis=-1).astype(np.uint8)
    rgba[10:20, 5:15] = (255, 0, 80, 255)
    image = Image.fromarray(rgba)
    if mode == 'I;16':
        return Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257)
    return image.convert('RGB').quantize(16) if mode == 'P' else image.convert(mode)


@cache
def exif_blocks() -> list[bytes]:
    """Return EXIF data with all directories that cameras write, in both byte orders."""
    blocks = []
    for endian in ('<', '>'):
        exif = Image.Exif()
        exif.endian = endian
        exif[0x010F], exif[0x8298], exif[0x0112] = 'Maker', 'Someone', 6
        exif[0x8769] = {
            0x829A: 1 / 125,
            0x9003: '1969:07:20 20:17:40',
            0x927C: b'maker note' * 9,
            0xA002: 4000,
            0xA005: {1: 'R98', 2: b'0100'},
        }
        exif[0x8825] = {1: 'N', 2: (51.0, 28.0, 38.0)}
        blocks.append(exif.tobytes())
    return blocks


@cache
def profiles() -> list[bytes]:
    """Return ICC profiles for RGB, CIELAB and gray."""
    made = [
        ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
        for space in ('sRGB', 'XYZ', 'LAB')
    ]
    curve = b'curv\0\0\0\0' + struct.pack('>I3H', 3, 0, 9000, 65535) + bytes(2)
    head = bytearray(made[0][:128])
    head[12:24] = b'mntrGRAYXYZ '
    return [*made, bytes(head) + struct.pack('>I4sII', 1, b'kTRC', 144, len(curve)) + curve]


@cache
def state() -> dict[str, torch.Tensor]:
    """Return the weights of a small generator."""
    torch.manual_seed(0)
    network = MODELS.build(dict(GENERATOR))
    return {key: value.clone().contiguous() for key, value in network.state_dict().items()}


def safetensors_file(description: str) -> bytes:
    """Return a weights file with this network description; the bytes are always the same."""
    data = save(state(), {'format': FORMAT, 'generator': description})
    (length,) = struct.unpack('<Q', data[:8])
    # safetensors writes the metadata in random order.
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b' ' * (-len(header) % 8)
    return struct.pack('<Q', len(header)) + header + data[8 + length :]


@cache
def plain_safetensors() -> bytes:
    """Return a weights file as `save_generator` writes it."""
    return safetensors_file(json.dumps(GENERATOR))


def checkpoint_file(content: Any, legacy: bool = False) -> bytes:
    """Return the file that torch.save writes for the content of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def checkpoint() -> dict[str, Any]:
    """Return the content of an mmengine checkpoint."""
    return {
        'meta': dict(epoch=0, iter=3, cfg='model = dict()'),
        'state_dict': {f'generator.{key}': value for key, value in state().items()},
        'message_hub': dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        'optimizer': dict(state={}, param_groups=[]),
    }


@cache
def plain_checkpoints() -> list[bytes]:
    """Return checkpoints in both formats of torch.save."""
    return [checkpoint_file(checkpoint(), legacy) for legacy in (False, True)]
