"""Labelled grids of pictures."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_MARGIN = 8
_LABEL_HEIGHT = 24


def gallery(
    columns: Mapping[str, Sequence[Image.Image]], captions: Sequence[str], height: int = 240
) -> Image.Image:
    """Put pictures side by side: one labelled column per method, one captioned row per photo.

    Args:
        columns: by label, the pictures of a column from top to bottom; the pictures of a row have
            one aspect ratio.
        captions: one per row, written below it.
        height: of every picture, in pixels.

    Returns:
        An RGB image.

    Raises:
        ValueError: if the numbers of pictures and captions differ.
    """
    if {len(images) for images in columns.values()} != {len(captions)}:
        counts = {label: len(images) for label, images in columns.items()}
        raise ValueError(f'every column needs one picture per caption ({len(captions)}): {counts}')
    rows = [
        [
            image.convert('RGB').resize((round(image.width * height / image.height), height))
            for image in row
        ]
        for row in zip(*columns.values(), strict=True)
    ]
    widths = [max(image.width for image in column) for column in zip(*rows, strict=True)]
    lefts = [_MARGIN + sum(widths[:i]) + i * _MARGIN for i in range(len(widths))]
    step = height + _LABEL_HEIGHT + _MARGIN
    sheet = Image.new(
        'RGB',
        (lefts[-1] + widths[-1] + _MARGIN, _LABEL_HEIGHT + _MARGIN + len(rows) * step),
        'white',
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for label, left, width in zip(columns, lefts, widths, strict=True):
        draw.text((left + width / 2, _MARGIN), label, 'black', font, anchor='mt')
    for i, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = _LABEL_HEIGHT + _MARGIN + i * step
        for image, left, width in zip(row, lefts, widths, strict=True):
            sheet.paste(image, (left + (width - image.width) // 2, top))
        draw.text((lefts[0], top + height + 4), caption, 'dimgray', font)
    return sheet
