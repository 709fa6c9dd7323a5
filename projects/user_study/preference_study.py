"""A user study (Fig. 7): people see the results of several methods and choose the best.

The page says nothing of the methods: the pictures of a photo are called a, b, c, ... in an order
of its own, have one size and one format, and no metadata. The key says which is which.
"""

import hashlib
import json
import os
import random
import shutil
import string
import sys
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.checks import require, require_natural
from dualattn_mm.utils.errors import UserError, first_line, shortened
from dualattn_mm.utils.folders import pictures_by_name, read_picture
from dualattn_mm.utils.image_io import write_image
from dualattn_mm.utils.report import write_json
from dualattn_mm.utils.tensors import to_picture, to_tensor, without_color
from dualattn_mm.utils.terminal import print_line

KEY_FORMAT = 'dualattn_mm.preference_study.v1'
ANSWERS_FORMAT = 'dualattn_mm.preference_answers.v1'
QUESTION = 'Which picture has the best colors?'
CHOICES = string.ascii_lowercase
_PAGE = Path(__file__).with_name('preference_study.html')
_PLACE = '{"the study": "goes here"}'  # in the page
_ALIKE = 0.03  # shapes that differ by less are one: networks round sizes


def make_study(
    methods: Sequence[tuple[str, Path]],
    output: Path,
    images: int = 50,
    seed: int = 0,
    gray: Path | None = None,
    question: str = QUESTION,
    height: int = 512,
) -> str:
    """Write the page that participants get, and the key that they do not.

    `output/page` is complete in itself: index.html works from a disk, without a network.
    `output/key.json` is what `preference_score.score` needs.

    Pictures belong together if their paths below their folders are the same but for the suffix.

    Args:
        methods: names, and folders of results, searched with subfolders.
        output: a folder that does not exist yet.
        images: so many of the pictures that all methods have are drawn at random.
        seed: of the draw, and of the order of the methods for each picture.
        gray: a folder of the photos; each is shown, without its color, above its results, and its
            shape is theirs. None: results of one photo must be of one shape.
        question: what participants are asked.
        height: of the pictures at most, in pixels.

    Returns:
        The study's id, which depends on all that participants see.

    Raises:
        UserError: if methods or pictures are too few or unfit, a file cannot be read, or the study
            not be written. Then there is no part of it.
    """
    require_natural(images=images, height=height)
    names = [name for name, _ in methods]
    require(2 <= len(names) <= len(CHOICES), 'methods', names, f'2 to {len(CHOICES)}')
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise UserError(f'two methods are called {double[0]!r}')
    if output.exists():
        raise UserError(f'{output} exists: name a new folder')
    found = {name: pictures_by_name(folder) for name, folder in methods}
    photos = None if gray is None else pictures_by_name(gray)
    draw = random.Random(seed)
    chosen = _drawn(found, photos, images, draw)
    key: dict[str, Any] = dict(format=KEY_FORMAT, study='', question=question, seed=seed)
    key['methods'] = {name: str(folder) for name, folder in methods}
    key['images'] = [
        dict(image=f'{number:03}', picture=picture, order=draw.sample(names, len(names)))
        for number, picture in enumerate(chosen, 1)
    ]
    # Beside its place, so that it gets there whole by being renamed.
    temporary = output.parent / f'.{uuid.uuid4().hex}.tmp'
    try:
        digest = hashlib.sha256(json.dumps(key['images']).encode() + question.encode())
        for image in tqdm(key['images'], unit='image', disable=None):
            pictures = [found[method][image['picture']] for method in image['order']]
            photo = None if photos is None else photos[image['picture']]
            for name, picture in _shown(pictures, photo, height).items():
                file = temporary / 'page' / 'images' / f'{image["image"]}-{name}.png'
                write_image(picture, file, 'PNG', overwrite=False)
                digest.update(file.read_bytes())
        key['study'] = digest.hexdigest()[:12]
        page = _page(key, has_gray=photos is not None)
        atomic_write_bytes(temporary / 'page' / 'index.html', page.encode())
        write_json(temporary / 'key.json', key)
        os.rename(temporary, output)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UserError(f'{output} cannot be written: {reason}') from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return key['study']


def _drawn(
    found: Mapping[str, Mapping[str, Path]],
    photos: Mapping[str, Path] | None,
    images: int,
    draw: random.Random,
) -> list[str]:
    common = set.intersection(*map(set, found.values()))
    others = sorted(set().union(*found.values()) - common)
    if len(common) < images:
        raise UserError(
            f'only {len(common)} pictures are in the folders of all methods, and {images} are '
            f'wanted{f" (not in all: {shortened(others)})" * bool(others)}'
        )
    if others:
        print_line(f'left out, because not of all methods: {shortened(others)}', sys.stderr)
    chosen = draw.sample(sorted(common), images)
    missing = [] if photos is None else [name for name in chosen if name not in photos]
    if missing:
        raise UserError(f'{len(missing)} pictures have no photo (--gray): {shortened(missing)}')
    return chosen


def _shown(pictures: Sequence[Path], photo: Path | None, height: int) -> dict[str, Image.Image]:
    """By name, the results and the photo without color, if any, all of one size."""
    results = [to_picture(read_picture(path)) for path in pictures]
    gray = None if photo is None else to_picture(without_color(read_picture(photo)))
    shape = results[0] if gray is None else gray
    aspect = shape.width / shape.height
    for path, result in zip(pictures, results, strict=True):
        other = result.width / result.height
        if gray is None and abs(other - aspect) > _ALIKE * aspect:
            raise UserError(
                f'{path} is {result.width}x{result.height}, and {pictures[0]} '
                f'{shape.width}x{shape.height}: --gray PHOTOS says what shape is right'
            )
    height = min(height, max(result.height for result in results))
    size = max(1, round(height * aspect)), height
    named = dict(zip(CHOICES, results, strict=False), **({} if gray is None else dict(gray=gray)))
    # A new picture has no metadata.
    return {name: to_picture(to_tensor(picture.resize(size))) for name, picture in named.items()}


def _page(key: Mapping[str, Any], has_gray: bool) -> str:
    study = dict(
        format=ANSWERS_FORMAT,
        study=key['study'],
        question=key['question'],
        choices=list(CHOICES[: len(key['methods'])]),
        images=[image['image'] for image in key['images']],
        gray=has_gray,
    )
    # A question with a tag in it must not end the script.
    text = json.dumps(study).replace('<', '\\u003c')
    page = _PAGE.read_text(encoding='utf-8')
    return page.replace(_PLACE, text)
