"""Colorize one uploaded file with the functions that `dualattn colorize` calls."""

from pathlib import Path
from typing import Any

from PIL import Image

from ..apis.animation import colorize_animation
from ..apis.colorize_files import FileColorizer
from ..apis.files import COMPARE_SUFFIX, Plan
from ..apis.film import colorize_film
from ..apis.pipeline import ColorizationPipeline, check_saturation
from ..apis.sources import Sources
from ..utils.errors import TooLargeError, UnsupportedError, UserError
from ..utils.films import is_film


class _OneFile(FileColorizer):
    """Colorizes a single file, and keeps its error and its remark."""

    error: UserError | None = None
    remark = ''

    def report(self, path: Path, reason: object) -> None:
        self.error = reason if isinstance(reason, UserError) else UserError(str(reason))

    def note(self, path: Path, remark: str) -> None:
        self.remark = remark


def colorize_upload(
    pipe: ColorizationPipeline,
    source: Path,
    folder: Path,
    suffix: str | None = None,
    saturation: float | None = None,
    preview: bool = False,
    max_frames: int | None = None,
) -> dict[str, Any]:
    """Colorize a file.

    Args:
        pipe: the pipeline; its `max_pixels` also holds for the frames of videos.
        source: the file; the suffix tells videos from images.
        folder: where the results go.
        suffix: suffix of the result, which sets its format; None keeps the format.
        saturation: factor on the colors; None uses the factor stored with the weights.
        preview: for photos, also write the gray and the colorized image with at most 1024 pixels
            per side.
        max_frames: videos and animations with more frames are rejected.

    Returns:
        'result', the path of the colorized file; 'remark', what was damaged or not kept; for a
        photo with `preview` also 'before' and 'after', paths of PNG files.

    Raises:
        UserError: if the file cannot be colorized.
    """
    if saturation is not None:
        check_saturation(saturation)
    if not source.is_file():
        raise UserError('there is no such file')
    if is_film(source) and suffix is not None:
        raise UserError('a format was given, but a video keeps its own')
    output = folder if suffix is None else folder / f'colorized{suffix}'
    sources = Sources()  # `find_sources` would take a name for a pattern or a folder
    sources.add(Path(), str(source.parent), [source.name])
    todo = Plan(sources, output, preview, True, pipe.max_pixels)
    files = _OneFile(pipe, saturation, overwrite=True, recolor=True)
    files.colorize(todo)
    if files.error:
        raise files.error
    for film, target in todo.films:
        common = pipe, film, target, saturation
        if is_film(film):
            done = colorize_film(*common, max_frames=max_frames, recolor=True)
        else:
            done = colorize_animation(*common, max_frames=max_frames, recolor=True)
        return {'result': str(target), 'remark': done.remark}
    answer = {'remark': files.remark}
    if files.had_pages:
        answer['remark'] = '; '.join(
            filter(None, (files.remark, 'only the first page was colorized'))
        )
    if preview:
        (both,) = folder.glob(f'*{COMPARE_SUFFIX}')
        answer |= _halves(both)
    (result,) = (path for path in folder.iterdir() if str(path) not in answer.values())
    return {**answer, 'result': str(result)}


def _halves(both: Path) -> dict[str, str]:
    """Cut the comparison, which has the two images side by side, and return their paths."""
    paths = {}
    with Image.open(both) as image:
        width = image.width // 2
        for index, name in enumerate(('before', 'after')):
            path = both.with_name(f'{name}.png')
            image.crop((index * width, 0, (index + 1) * width, image.height)).save(path)
            paths[name] = str(path)
    both.unlink()
    return paths


def status_of(error: UserError) -> int:
    """Return the HTTP status that says what is wrong with a file."""
    kinds = ((TooLargeError, 413), (UnsupportedError, 415))
    return next((status for kind, status in kinds if isinstance(error, kind)), 422)
