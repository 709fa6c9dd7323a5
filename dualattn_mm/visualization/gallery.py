"""Labeled grids of images."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_MARGIN = 8
_LABEL_HEIGHT = 24
_FONT_SIZE = 15
_ALIKE = 0.03  # relative difference


def gallery(
    columns: Mapping[str, Sequence[Image.Image]], captions: Sequence[str], height: int = 240
) -> Image.Image:
    """Arrange images in a grid, with one labeled column per method and one captioned row per photo.

    A column is as wide as its widest image or its label, and its images are centered. An image that
    is up to 3% wider or narrower than the first one in its row is resized to the same width.

    Args:
        columns: the images of each column from top to bottom, by label.
        captions: one caption per row, written below it.
        height: height of every image in pixels.

    Returns:
        An RGB image.

    Raises:
        ValueError: if there is no column, or the numbers of images and captions differ.
    """
    if {len(images) for images in columns.values()} != {len(captions)}:
        counts = {label: len(images) for label, images in columns.items()}
        raise ValueError(f'every column needs one image per caption ({len(captions)}): {counts}')
    rows = [_row(row, height) for row in zip(*columns.values(), strict=True)]
    font = ImageFont.load_default(size=_FONT_SIZE)
    widths = [
        max(round(font.getlength(label)), *(row[i].width for row in rows), 0)
        for i, label in enumerate(columns)
    ]
    lefts = [sum(widths[:i]) + (i + 1) * _MARGIN for i in range(len(widths))]
    longest = max((round(font.getlength(caption)) for caption in captions), default=0)
    right = max(lefts[-1] + widths[-1], lefts[0] + longest)
    step = height + _LABEL_HEIGHT + _MARGIN
    size = right + _MARGIN, _LABEL_HEIGHT + _MARGIN + len(rows) * step
    sheet = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(sheet)
    for label, left, width in zip(columns, lefts, widths, strict=True):
        draw.text((left + width / 2, _MARGIN), label, 'black', font, anchor='mt')
    for i, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = _LABEL_HEIGHT + _MARGIN + i * step
        for image, left, width in zip(row, lefts, widths, strict=True):
            sheet.paste(image, (left + (width - image.width) // 2, top))
        draw.text((lefts[0], top + height + 4), caption, 'dimgray', font)
    return sheet


def fit(image: Image.Image, height: int) -> Image.Image:
    """Resize an image to a height and convert it to RGB."""
    return _resized(image, _width(image, height), height)


def alike(size: float, other: float) -> bool:
    """Return whether two sizes or shapes differ by at most 3%: networks round the sizes."""
    return abs(size - other) <= _ALIKE * other


def _row(images: Sequence[Image.Image], height: int) -> list[Image.Image]:
    first = _width(images[0], height)
    widths = [_width(image, height) for image in images]
    widths = [first if alike(width, first) else width for width in widths]
    return [_resized(image, width, height) for image, width in zip(images, widths, strict=True)]


def _width(image: Image.Image, height: int) -> int:
    return max(1, round(image.width * height / image.height))


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    image = image.convert('RGB')
    # Pillow's bicubic filter also averages when it shrinks.
    return image if image.size == (width, height) else image.resize((width, height))
