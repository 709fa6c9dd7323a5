"""The test cases: the file for each case number, and the outcome that is required."""

import io
import json
import random
import struct
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import torch
from PIL import Image
from torch import Tensor, nn

from dualattn_mm.apis.animation import colorize_animation
from dualattn_mm.apis.film import colorize_film
from dualattn_mm.apis.pipeline import ColorizationPipeline
from dualattn_mm.apis.weights import load_generator
from dualattn_mm.apis.weights_info import weights_info
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.image_io import output_name, read_header, read_image, write_image
from dualattn_mm.utils.pixels import MAX_PIXELS
from dualattn_mm.utils.terminal import printable

from . import seeds
from .mutations import mutated, mutated_value

RESULT, REFUSED = 'result', 'refused'
_LONGEST_LINE = 1000
_MOST_FRAMES = 20
_FILM_PIXELS = 10**6  # encoders hold many frames at once
_CONFIG = 'model = dict(generator={cfg!r})\n'


class WrongOutcomeError(AssertionError):
    """A reader neither returned a correct result nor rejected the file with a one-line message."""


class _Gray(nn.Module):
    """A minimal network, because only the readers are tested and not the colors."""

    def forward(self, lightness: Tensor) -> Tensor:
        return lightness.new_zeros(len(lightness), 2, *lightness.shape[2:])


def kind_of(number: int, only: str | None = None) -> str:
    """Return the kind of a case: `only`, or one of `KINDS` in turn."""
    return only or tuple(KINDS)[number % len(KINDS)]


def make_case(number: int, seed: int, only: str | None = None) -> tuple[str, bytes]:
    """Return the kind and content of a case; the same number and seed give the same case.

    Args:
        number: number of the case.
        seed: random seed of all cases.
        only: one of `KINDS`; None uses all kinds in turn.
    """
    rng = random.Random(f'{seed} {number}')
    kind = kind_of(number, only)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return kind, KINDS[kind][0](rng)


def run_case(kind: str, content: bytes) -> str:
    """Read a file as the package does.

    Returns:
        `RESULT` or `REFUSED`.

    Raises:
        WrongOutcomeError: if the result is wrong, or the error message is not one line.
        Exception: any other error that a reader raised.
    """
    with tempfile.TemporaryDirectory(prefix='fuzz-') as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = Path(folder, 'case')
        path.write_bytes(content)
        try:
            KINDS[kind][1](path)
        except UserError as error:
            if '\n' in str(error) or len(str(error)) > _LONGEST_LINE + len(str(path)):
                raise WrongOutcomeError(f'not one line: {printable(error)[:200]}') from error
            return REFUSED
        finally:
            if Path(folder, 'ran').exists() or Path('ran').exists():
                raise WrongOutcomeError('code in the file was executed')
    return RESULT


def _picture(rng: random.Random) -> bytes:
    files = seeds.pictures()
    return mutated(rng.choice(files), files, rng)


def _animation(rng: random.Random) -> bytes:
    files = seeds.animations()
    return mutated(rng.choice(files), files, rng)


def _film(rng: random.Random) -> bytes:
    files = seeds.films()
    return mutated(rng.choice(files), files, rng)


def _exif(rng: random.Random) -> bytes:
    blocks = seeds.exif_blocks()
    changed = mutated(rng.choice(blocks), blocks, rng)[:60_000]
    if not changed.startswith(b'Exif\0\0'):
        changed = b'Exif\0\0' + changed
    return _with_metadata(rng, exif=changed)


def _icc(rng: random.Random) -> bytes:
    files = seeds.profiles()
    return _with_metadata(rng, icc_profile=mutated(rng.choice(files), files, rng)[:60_000])


def _with_metadata(rng: random.Random, **metadata: bytes) -> bytes:
    for _ in range(20):
        try:
            return seeds.picture_file(rng.randrange(999), **metadata)
        except Exception:  # Pillow cannot write every damaged block to every format
            continue
    return seeds.pictures()[0]


def _safetensors(rng: random.Random) -> bytes:
    plain = seeds.plain_safetensors()
    return mutated(plain, [plain], rng)


def _description(rng: random.Random) -> bytes:
    cfg: Any = seeds.GENERATOR
    for _ in range(rng.choice((1, 1, 2, 3))):
        cfg = mutated_value(cfg, rng)
    text = json.dumps(cfg)
    if rng.random() < 0.2:
        text = rng.choice(('[' * 50_000, text * 2, text[: len(text) // 2], '9' * 9000, '', 'null'))
    return seeds.safetensors_file(text)


def _checkpoint(rng: random.Random) -> bytes:
    files = seeds.plain_checkpoints()
    return mutated(rng.choice(files), files, rng)


def _checkpoint_content(rng: random.Random) -> bytes:
    content: Any = seeds.checkpoint()
    if rng.random() < 0.5:
        content = mutated_value(content, rng)
    else:
        name = rng.choice(list(content['state_dict']))
        value = content['state_dict'][name]
        content['state_dict'][name] = rng.choice(
            (
                value.to(torch.complex64),
                value.to(torch.int64),
                value.to(torch.bool),
                value.to_sparse(),
                value[..., :0],
                value.expand(2, *value.shape),
                value.to('meta'),
                torch.full_like(value, torch.nan),
                [value],
                'text',
            )
        )
    return seeds.checkpoint_file(content, legacy=rng.random() < 0.3)


def _try_picture(path: Path) -> None:
    """Run the whole path from an input file to an output file."""
    format_ = read_header(path).format
    image = read_image(path)
    result = _pipe()(image)
    target = path.with_name('result')
    write_image(result, target, format_, overwrite=False)
    with Image.open(target) as written:
        written.load()
        if written.size != result.size or written.size not in (image.size, image.size[::-1]):
            raise WrongOutcomeError(f'{image.size} became {written.size}')
    if output_name(path, format_) == path.name:
        raise WrongOutcomeError(f'no suffix for {format_}')
    if 'exif' in result.info:
        check_exif(result.info['exif'], result.size)


def _try_animation(path: Path) -> None:
    target = path.with_name('result.gif')
    count = colorize_animation(_pipe(), path, target, max_frames=_MOST_FRAMES, recolor=True).frames
    with Image.open(target) as written:
        if not 1 <= getattr(written, 'n_frames', 1) <= count:
            raise WrongOutcomeError(f'{count} frames became {written.n_frames}')


def _try_film(path: Path) -> None:
    # Other containers convert the subtitles, and AVI the times.
    suffix = ('mkv', 'avi', 'mp4')[path.stat().st_size % 3]
    target = path.with_name(f'result.{suffix}')
    count = colorize_film(
        _pipe(_FILM_PIXELS), path, target, max_frames=_MOST_FRAMES, recolor=True
    ).frames
    with av.open(str(target)) as written:
        found = sum(1 for _ in written.decode(video=0))
    if found != count:
        raise WrongOutcomeError(f'{count} frames became {found}')


def _try_weights(path: Path) -> None:
    weights_info(path)
    config = path.with_name('config.py')
    config.write_text(_CONFIG.format(cfg=seeds.GENERATOR))
    checkpoint = path.read_bytes()[8:9] != b'{'
    generator = load_generator(path, config if checkpoint else None)
    pipe = ColorizationPipeline.from_generator(generator)
    if pipe(Image.new('L', (40, 30), 99)).size != (40, 30):
        raise WrongOutcomeError('the result has another size')


@cache
def _pipe(max_pixels: int = MAX_PIXELS) -> ColorizationPipeline:
    return ColorizationPipeline.from_generator(_Gray(), size=32, max_pixels=max_pixels)


def check_exif(data: bytes, size: tuple[int, int]) -> None:
    """Check that EXIF data has valid offsets, sorted tags and the right image size.

    Raises:
        WrongOutcomeError: if something is wrong.
    """
    block = io.BytesIO(data[6:])
    order = {b'II': '<', b'MM': '>'}[block.read(2)]
    block.seek(4)
    image = _directory(block, order)
    block.seek(_value(image[0x8769], order) if 0x8769 in image else 0)
    exif = _directory(block, order)
    found = tuple(_value(exif[tag], order) for tag in (0xA002, 0xA003))
    if found != size or 0xA005 in exif or 0x927C in exif or 0x0112 in image:
        raise WrongOutcomeError(f'EXIF data of another file: {found} for {size}')


def _directory(block: io.BytesIO, order: str) -> dict[int, bytes]:
    if block.tell() == 4:
        block.seek(struct.unpack(f'{order}I', block.read(4))[0])
    (count,) = struct.unpack(f'{order}H', block.read(2))
    entries = [block.read(12) for _ in range(count)]
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}
    found = {}
    for entry in entries:
        tag, kind, values, offset = struct.unpack(f'{order}HHII', entry)
        length = sizes[kind] * values
        if length > 4 and offset + length > len(block.getbuffer()):
            raise WrongOutcomeError(f'EXIF tag {tag:#x} points outside its block')
        found[tag] = entry[2:]
    if list(found) != sorted(found):
        raise WrongOutcomeError('EXIF tags are out of order')
    return found


def _value(entry: bytes, order: str) -> int:
    return struct.unpack(f'{order}I', entry[6:])[0]


# The function that makes a case of each kind, and the function that reads it.
KINDS: dict[str, tuple[Callable[[random.Random], bytes], Callable[[Path], None]]] = {
    'picture': (_picture, _try_picture),
    'animation': (_animation, _try_animation),
    'film': (_film, _try_film),
    'exif': (_exif, _try_picture),
    'icc': (_icc, _try_picture),
    'safetensors': (_safetensors, _try_weights),
    'description': (_description, _try_weights),
    'checkpoint': (_checkpoint, _try_weights),
    'content': (_checkpoint_content, _try_weights),
}
