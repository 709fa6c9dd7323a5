"""Compute the metrics of a test for folders of saved images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..utils.colorfulness import averaged, colorfulness, mean_colorfulness
from ..utils.errors import ColorizeError, UserError, shortened
from ..utils.folders import pictures_below, pictures_by_name, read_picture
from .image_metric import ImageMetric


def measure(
    truth: Path,
    methods: Mapping[str, Path],
    metrics: Callable[[], Sequence[ImageMetric]],
    size: int | None = None,
    device: str | torch.device = 'cpu',
) -> dict[str, dict[str, float]]:
    """Compare the saved results of any methods with the originals.

    A result and its original have the same path below their folders, except for the suffix.

    Args:
        truth: the folder of the originals, searched with its subfolders.
        methods: the folder of the results of each method, by name.
        metrics: returns new metrics for each method.
        size: resize results and originals to a square of this size first; None keeps their sizes.
        device: the device for metrics with networks.

    Returns:
        The figures by name, for each method.

    Raises:
        UserError: if a folder has missing or additional images, a file cannot be read, or the
            sizes of a result and its original differ and `size` is None.
    """
    originals = pictures_by_name(truth)
    results = {method: pictures_by_name(folder) for method, folder in methods.items()}
    for method, pictures in results.items():
        _check_names(method, methods[method], pictures, truth, originals)
    metrics_of = {method: metrics() for method in methods}
    for name, original in tqdm(originals.items(), unit='image', disable=None):
        gt_img = read_picture(original, size).to(device)
        for method, pictures in results.items():
            pred_img = read_picture(pictures[name], size).to(device)
            if pred_img.shape != gt_img.shape:
                sizes = [f'{i.shape[2]}x{i.shape[1]}' for i in (pred_img, gt_img)]
                raise UserError(
                    f'{pictures[name]} is {sizes[0]}, but {original} is {sizes[1]}: '
                    'use --size to resize both'
                )
            for metric in metrics_of[method]:
                metric.process(None, [dict(pred_img=pred_img, gt_img=gt_img)])
    return {
        method: {k: v for metric in of_it for k, v in metric.evaluate(len(originals)).items()}
        for method, of_it in metrics_of.items()
    }


def colorfulness_of_folder(
    folder: Path, variant: str = 'signed', size: int | None = None
) -> tuple[float, int, int, list[str]]:
    """Compute the CF of the images in a folder.

    Args:
        folder: the folder, searched with its subfolders.
        variant: see `colorfulness`.
        size: resize the images to a square of this size first.

    Returns:
        The mean, the number of images in it, the number of images that were read, and one line
        for each unreadable image.

    Raises:
        UserError: if the folder does not exist or has no readable image.
    """
    values, failed = [], []
    for path in tqdm(pictures_below(folder), unit='image', disable=None):
        try:
            pixels = read_picture(path, size).permute(1, 2, 0).numpy()
        except ColorizeError as error:
            failed.append(str(error))
        else:
            values.append(colorfulness(pixels, variant))
    if not values:
        raise UserError(f'no image in {folder} can be read: {failed[0]}')
    used = len(averaged(values, variant))
    return mean_colorfulness(values, variant), used, len(values), failed


def _check_names(
    method: str, folder: Path, pictures: Mapping, truth: Path, originals: Mapping
) -> None:
    missing = [name for name in originals if name not in pictures]
    extra = [name for name in pictures if name not in originals]
    parts = []
    if missing:
        parts.append(f'{len(missing)} of {len(originals)} are missing ({shortened(missing)})')
    if extra:
        parts.append(f'{len(extra)} have no original in {truth} ({shortened(extra)})')
    if parts:
        raise UserError(f'{method} ({folder}): {"; ".join(parts)}')
