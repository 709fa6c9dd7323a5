"""Make a user study (Fig. 7), in which people choose the best of the results of several methods.

The page does not reveal the methods. The images of a photo are named a, b, c, ... in random order,
have the same size and format, and have no metadata. The key tells which image is from which method.
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
from dualattn_mm.utils.errors import UserError, shortened, writing_to
from dualattn_mm.utils.folders import pictures_by_name, read_picture
from dualattn_mm.utils.image_io import write_image
from dualattn_mm.utils.report import write_json
from dualattn_mm.utils.tensors import to_picture, to_tensor, without_color
from dualattn_mm.utils.terminal import print_line
from dualattn_mm.visualization.gallery import alike

KEY_FORMAT = 'dualattn_mm.preference_study.v1'
ANSWERS_FORMAT = 'dualattn_mm.preference_answers.v1'
QUESTION = 'Which picture has the best colors?'
CHOICES = string.ascii_lowercase
MOST = 9  # methods; one key of the keyboard for each
_PAGE = Path(__file__).with_name('preference_study.html')
_PLACE = '{"the study": "goes here"}'  # in the page


def make_study(
    methods: Sequence[tuple[str, Path]],
    output: Path,
    images: int = 50,
    seed: int = 0,
    gray: Path | None = None,
    question: str = QUESTION,
    height: int = 512,
) -> str:
    """Write the page for participants and the key for the organizer.

    `output/page` is self-contained: index.html works from a disk without a network connection.
    `output/key.json` is the input of `preference_score.score`.

    Images belong together if their paths below their folders are equal, except for the suffix.

    Args:
        methods: names and folders of results; the folders are searched with their subfolders.
        output: a folder that does not exist yet.
        images: number of images to draw at random from those that all methods have.
        seed: random seed of this choice and of the order of the methods for each image.
        gray: a folder of the photos. Each photo is shown without color above its results, which get
            its shape. If None, all results of a photo must have the same shape.
        question: the question for participants.
        height: largest height of the images in pixels.

    Returns:
        The id of the study, which depends on everything that participants see.

    Raises:
        UserError: if there are too few methods or images or they do not fit, a file cannot be read,
            or the study cannot be written. Nothing is written in these cases.
    """
    require_natural(images=images, height=height)
    names = [name for name, _ in methods]
    require(2 <= len(names) <= MOST, 'methods', names, f'2 to {MOST}')
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise UserError(f'two methods have the name {double[0]!r}')
    if output.exists():
        raise UserError(f'{output} exists: choose a new folder')
    found = {name: pictures_by_name(folder) for name, folder in methods}
    photos = None if gray is None else pictures_by_name(gray)
    draw = random.Random(seed)
    chosen = _drawn(found, photos, images, draw)
    key: dict[str, Any] = dict(format=KEY_FORMAT, study='', question=question, seed=seed)
    key['methods'] = {name: str(folder) for name, folder in methods}
    orders = _orders(names, images, draw)
    key['images'] = [
        dict(image=f'{number:03}', picture=picture, order=order)
        for number, (picture, order) in enumerate(zip(chosen, orders, strict=True), 1)
    ]
    # Written next to its final location and then renamed, so that it is complete.
    temporary = output.parent / f'.{uuid.uuid4().hex}.tmp'
    try:
        with writing_to(output):
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
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return key['study']


def _orders(names: list[str], images: int, draw: random.Random) -> list[list[str]]:
    """Return an order of the methods for each image.

    Some participants prefer the first picture, so each method has each place equally often.
    """
    orders: list[list[str]] = []
    while len(orders) < images:
        order = draw.sample(names, len(names))
        turns = draw.sample(range(len(names)), len(names))
        orders += [order[turn:] + order[:turn] for turn in turns]
    return orders[:images]


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
            f'all methods have only {len(common)} images in common, but --images is '
            f'{images}{f" (not in all: {shortened(others)})" * bool(others)}'
        )
    if others:
        print_line(f'skipped, because not in all folders: {shortened(others)}', sys.stderr)
    chosen = draw.sample(sorted(common), images)
    missing = [] if photos is None else [name for name in chosen if name not in photos]
    if missing:
        raise UserError(f'{len(missing)} images have no photo in --gray: {shortened(missing)}')
    return chosen


def _shown(pictures: Sequence[Path], photo: Path | None, height: int) -> dict[str, Image.Image]:
    """Return the results and the optional gray photo by name, all in the same size."""
    results = [to_picture(read_picture(path)) for path in pictures]
    gray = None if photo is None else to_picture(without_color(read_picture(photo)))
    shape = results[0] if gray is None else gray
    aspect = shape.width / shape.height
    for path, result in zip(pictures, results, strict=True):
        if gray is None and not alike(result.width / result.height, aspect):
            raise UserError(
                f'{path} is {result.width}x{result.height}, but {pictures[0]} is '
                f'{shape.width}x{shape.height}: pass --gray PHOTOS to set the shape'
            )
    height = min(height, max(result.height for result in results))
    size = max(1, round(height * aspect)), height
    named = dict(zip(CHOICES, results, strict=False), **({} if gray is None else dict(gray=gray)))
    # A new image has no metadata.
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
    # A tag in the question must not end the script.
    text = json.dumps(study).replace('<', '\\u003c')
    page = _PAGE.read_text(encoding='utf-8')
    return page.replace(_PLACE, text)
