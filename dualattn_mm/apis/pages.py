"""Colorize all pages of a file, and store them in a TIFF file."""

import io
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from torch import Tensor

from ..utils.atomic import atomic_file
from ..utils.deep_image import encode_deep
from ..utils.encoding import encode, save_options
from ..utils.errors import ColorizeError, InColorError, writing
from ..utils.image_io import Page, find_pages, read_with_options
from ..utils.in_color import has_colors
from ..utils.pixels import quiet
from ..utils.tiff_file import write_tiff
from .frames import FilmResult, colorize_frames
from .pipeline import ColorizationPipeline, Photo
from .smoothing import ColorSmoother


class _Loaded(NamedTuple):
    photo: Photo
    options: dict[str, Any]


def colorize_pages(
    pipe: ColorizationPipeline,
    source: Path,
    target: Path,
    saturation: float | None = None,
    overwrite: bool = False,
    recolor: bool = False,
) -> FilmResult:
    """Colorize all pages of a file, with a progress bar on a terminal.

    A few pages are in memory at a time. Each keeps its size, depth, compression and metadata.

    Args:
        pipe, saturation, overwrite: as in `colorize_film`.
        source: a TIFF file, or another file of several pages.
        target: the TIFF file to write atomically.
        recolor: replace the color of pages that have color.

    Raises:
        ColorizeError: if a page cannot be read or the result cannot be written. The message does
            not name the file.
        InColorError: if a page has color and `recolor` is not set.
    """
    start = time.perf_counter()
    remarks: dict[int, str] = {}
    pages = find_pages(source)

    def load(page: Page) -> _Loaded:
        try:
            image, options = read_with_options(source, pipe.max_pixels, page)
            if not recolor and has_colors(image):
                raise InColorError
            same = options if image.format == 'TIFF' else None
            photo = pipe.prepare(image)
            remarks[page.number] = photo.remark and f'page {page.number}: {photo.remark}'
            return _Loaded(photo, save_options('TIFF', source=same))
        except InColorError:
            raise
        except ColorizeError as error:
            raise ColorizeError(f'page {page.number}: {error}') from None

    def save(page: _Loaded, ab: Tensor, beside: Path) -> BinaryIO:
        out = io.BytesIO()
        if page.photo.deep:
            deep = pipe.finish_deep(page.photo, ab, saturation)
            encode_deep(deep, out, 'TIFF', page.options, beside)
        else:
            encode(pipe.finish_image(page.photo, ab, saturation), out, 'TIFF', page.options)
        return out

    def stored(beside: Path) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:
        # The pages are independent, so nothing is smoothed.
        smoother, finish = ColorSmoother(0), partial(save, beside=beside)
        for page in colorize_frames(pipe, pages, load, finish, smoother, len(pages)):
            yield page, {}

    with (
        quiet(),
        writing(),
        atomic_file(target, overwrite) as temporary,
        temporary.open('wb') as out,
    ):
        write_tiff(out, stored(temporary))
    remark = '; '.join(filter(None, (remarks[page.number] for page in pages)))
    return FilmResult(len(pages), time.perf_counter() - start, remark)
