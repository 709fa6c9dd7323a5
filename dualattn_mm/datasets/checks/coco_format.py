"""Read annotation files in COCO's format, whose faults would be tracebacks in pycocotools."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...utils.errors import RunError

_NUMBER = int | float
_ID = _NUMBER | str
_ANY = object  # checked where it is known to be read
_NAMES = {_NUMBER: 'a number', _ID: 'a number or text', str: 'text'}
_KEYS: dict[str, dict[str, Any]] = dict(
    images=dict(id=_ID, file_name=str, width=_NUMBER, height=_NUMBER),
    annotations=dict(id=_ID, image_id=_ID, category_id=_ID, bbox=_ANY, area=_ANY),
    categories=dict(id=_ID, name=_ANY),
)


def file_error(path: Path, text: str) -> RunError:
    """Return an error about an annotation file."""
    return RunError(f'{path}: {text}')


def require(
    path: Path, part: str, rows: Sequence[Any], fault: str, fits: Callable[[Any], bool]
) -> None:
    """Check all rows of a part of an annotation file.

    Raises:
        RunError: if some do not fit; the message counts them and says what `fault` they have.
    """
    wrong = sum(not fits(row) for row in rows)
    if wrong:
        raise file_error(path, f'{wrong} of {len(rows)} {part} {fault}')


def read_coco(path: Path, annotated: bool) -> tuple[list[dict], list[dict], list[dict]]:
    """Read an annotation file.

    Args:
        path: the file.
        annotated: whether it must have a list of annotations; COCO's own test files have none.

    Returns:
        The images, annotations and categories. Numbers, names and sizes have their types; boxes,
        areas and masks are not checked.

    Raises:
        RunError: if the file does not exist or has another format.
    """
    if not path.is_file():
        raise RunError(f'annotation file {path} does not exist')
    try:
        # From bytes, json also reads UTF-16 and a BOM, but pycocotools does not.
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise file_error(path, f'the file is not valid JSON in UTF-8 ({error})') from None
    if not isinstance(content, dict):
        raise file_error(path, 'not in COCO format, which is a dict with images and annotations')
    if not annotated:
        content.setdefault('annotations', [])
    for part, keys in _KEYS.items():
        rows = content.get(part)
        if not isinstance(rows, list):
            raise file_error(path, f'not in COCO format: it has no list of {part}')
        require(path, part, rows, 'are not dicts', lambda row: isinstance(row, dict))
        for key, kind in keys.items():
            require(path, part, rows, f'have no {key}', partial(_has, key))
            if kind is not _ANY:
                fault = f'do not have {_NAMES[kind]} as {key}'
                require(path, part, rows, fault, partial(_has_kind, key, kind))
        ids = {row['id'] for row in rows}
        if len(ids) < len(rows):
            raise file_error(path, f'{len(rows) - len(ids)} of {len(rows)} {part} repeat an id')
    images, annotations, categories = (content[part] for part in _KEYS)
    return images, annotations, categories


def is_number(value: Any) -> bool:
    """Return whether a value of an annotation file is a number."""
    return isinstance(value, _NUMBER)


def has_box(annotation: dict) -> bool:
    """Return whether the box of an annotation is four numbers."""
    box = annotation['bbox']
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def is_read_as_mask(segmentation: Any) -> bool:
    """Return whether mmdet can load a mask, which may have no valid polygon."""
    if isinstance(segmentation, list):
        return all(isinstance(polygon, list) for polygon in segmentation)
    return isinstance(segmentation, dict)


def is_mask(segmentation: Any) -> bool:
    """Return whether pycocotools can convert a mask; it looks at the first part of a list."""
    if not isinstance(segmentation, list):
        return isinstance(segmentation, dict) and 'counts' in segmentation
    first = segmentation[0]
    return isinstance(first, dict) or (isinstance(first, list) and len(first) > 4)


def _has(key: str, row: dict) -> bool:
    return key in row


def _has_kind(key: str, kind: Any, row: dict) -> bool:
    return isinstance(row[key], kind)
