"""Folders of saved pictures, measured with the metrics of a test."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..utils.colorfulness import colorfulness, mean_colorfulness
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
    """Measure saved results of any methods against the originals.

    A result belongs to the original whose path below its folder is the same but for the suffix.

    Args:
        truth: the folder of the originals, searched with subfolders.
        methods: by name, the folder of a method's results.
        metrics: makes the metrics, anew for every method.
        size: squash results and originals to this square first; None compares them as they are.
        device: where networks among the metrics run.

    Returns:
        By method, the figures by name.

    Raises:
        UserError: if a folder lacks pictures or has others, a file cannot be read, or, without
            `size`, a result has another size than its original.
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
                    f'{pictures[name]} is {sizes[0]}, and {original} is {sizes[1]}: '
                    '--size squashes both to one size'
                )
            for metric in metrics_of[method]:
                metric.process(None, [dict(pred_img=pred_img, gt_img=gt_img)])
    return {
        method: {k: v for metric in of_it for k, v in metric.evaluate(len(originals)).items()}
        for method, of_it in metrics_of.items()
    }


def colorfulness_of_folder(
    folder: Path, variant: str = 'signed', size: int | None = None
) -> tuple[float, int, list[str]]:
    """CF of the pictures below a folder.

    Args:
        folder: searched with subfolders.
        variant: see `colorfulness`.
        size: squash the pictures to this square first.

    Returns:
        The mean, the number of pictures it is of, and a line for each that cannot be read.

    Raises:
        UserError: if there is no folder, or no picture that can be read.
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
        raise UserError(f'no picture of {folder} can be read: {failed[0]}')
    return mean_colorfulness(values, variant), len(values), failed


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
