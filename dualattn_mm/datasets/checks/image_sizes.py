"""Compare the sizes of images with what their annotations say."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...utils.config_parts import class_of

_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap the sides


def size_difference(path: Path, said: tuple[int, int], read: tuple[int, int]) -> str:
    """Describe how the size of an image differs from its annotation, and what to do about it.

    Args:
        path: the image.
        said: width and height in the annotations.
        read: width and height of the image as the pipeline reads it.
    """
    text = (
        f'{path} is {said[0]} x {said[1]} in the annotations, but the pipeline reads {read[0]} x '
        f'{read[1]}: '
    )
    with contextlib.suppress(OSError), Image.open(path) as image:
        if image.getexif().get(_ORIENTATION) in _TURNED and read == said[::-1]:
            ignored = image.size == said
            kind = 'color_ignore_orientation' if ignored else 'color'
            before = 'before' if ignored else 'after'
            return (
                f'{text}the annotations describe the image {before} its EXIF orientation is '
                f"applied; set color_type='{kind}' in LoadImageFromFile of every pipeline"
            )
    return f'{text}the annotations do not match the images'


def image_loader(pipeline: Sequence[Mapping[str, Any]]) -> Callable[[dict], dict] | None:
    """Build the transform that reads images, which may apply EXIF orientation; None if unknown."""
    from mmcv.transforms import LoadImageFromFile
    from mmdet.registry import TRANSFORMS

    for step in pipeline:
        kind = class_of(step, TRANSFORMS)
        if isinstance(kind, type) and issubclass(kind, LoadImageFromFile):
            return TRANSFORMS.build(step)
    return None
