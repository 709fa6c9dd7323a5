"""Baselines for the weights: gray, a single color, and the same network without training."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from tqdm import tqdm

from dualattn_mm.apis.pipeline import ColorizationPipeline
from dualattn_mm.evaluation.color import ColorizationCF
from dualattn_mm.evaluation.fidelity import ColorizationPSNR
from dualattn_mm.utils.color_space import rgb_to_lab
from dualattn_mm.utils.errors import ColorizeError, UserError
from dualattn_mm.utils.folders import pictures_below, pictures_by_name, read_picture
from dualattn_mm.utils.image_io import read_image, write_image
from dualattn_mm.utils.tensors import to_picture, to_tensor
from dualattn_mm.utils.terminal import printable

_AT_ONCE = 64


class OneColor(nn.Module):
    """A generator that predicts the same color for every pixel.

    Args:
        a, b: the color in CIELAB units.
    """

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.register_buffer('ab', torch.tensor([a, b])[:, None, None])

    def forward(self, lightness: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 2, H, W)."""
        return self.ab.expand(len(lightness), 2, *lightness.shape[2:])


def mean_color(folders: Sequence[Path], size: int = 64) -> tuple[float, float]:
    """Return the mean a and b over the pixels of all photos; each photo has the same weight.

    Args:
        folders: folders of photos, searched with their subfolders.
        size: side of the square to which photos are resized first.

    Raises:
        UserError: if there is no photo that can be read. Others are skipped with a message.
    """
    means = []
    for path in tqdm([p for folder in folders for p in pictures_below(folder)], disable=None):
        try:
            photo = read_picture(path, size)
        except ColorizeError as error:  # training skips it as well
            print(f'skipped {printable(path)}: {error}')
            continue
        means.append(rgb_to_lab(photo / 255)[1:].mean((1, 2)))
    if not means:
        raise UserError(f'no photo in {", ".join(map(str, folders))} can be read')
    a, b = torch.stack(means).double().mean(0).tolist()
    return a, b


def untrained(generator_cfg: Mapping, seed: int = 0) -> nn.Module:
    """Build the network of a config with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MODELS.build(dict(generator_cfg)).eval()


def colorize_folder(
    pipe: ColorizationPipeline,
    source: Path,
    target: Path,
    saturation: float | None = None,
    luma: bool = False,
) -> None:
    """Colorize all images in a folder and its subfolders to PNG files with the same names.

    Args:
        luma: use the luma of the images (Pillow's mode L, like a gray scan) as the input instead of
            their exact CIELAB lightness.

    Raises:
        UserError: if there is no image, or an image cannot be read.
    """
    pictures = pictures_by_name(source)
    images = (
        to_picture(read_picture(path)).convert('L') if luma else read_image(path)
        for path in pictures.values()
    )
    results = pipe.stream(images, saturation)
    for name, result in zip(tqdm(pictures, unit='image', disable=None), results, strict=True):
        write_image(result, target / f'{name}.png', 'PNG', overwrite=True)


def choose_saturation(
    pipe: ColorizationPipeline,
    photos: Sequence[Path],
    candidates: Sequence[float],
    luma: bool = False,
) -> float:
    """Choose the largest factor on the colors that is not worse than gray.

    A candidate qualifies if its mean PSNR over the photos is at least that of gray photos, and its
    mean CF is at most that of the original photos. Do not use photos that are used for testing.

    Args:
        pipe: a pipeline with the weights.
        photos: a few hundred image files.
        candidates: factors in increasing order.
        luma: as in `colorize_folder`.

    Raises:
        UserError: if no candidate qualifies.
    """
    found = measure_factors(pipe, photos, (0.0, *candidates), luma)
    fit = [
        factor
        for factor in candidates
        if found[factor]['PSNR'] >= found[0.0]['PSNR']
        and found[factor]['CF'] <= found[factor]['CF_truth']
    ]
    if not fit:
        raise UserError('no saturation is as good as gray: train longer')
    return max(fit)


def measure_factors(
    pipe: ColorizationPipeline,
    photos: Sequence[Path],
    factors: Sequence[float],
    luma: bool = False,
) -> dict[float, dict[str, float]]:
    """Compute PSNR, CF and CF of the ground truth at full size for each factor on the colors.

    Args:
        pipe: a pipeline with the weights.
        photos: image files.
        factors: factors on the colors; 0 is gray.
        luma: as in `colorize_folder`.
    """
    figures = {factor: (ColorizationPSNR(), ColorizationCF()) for factor in factors}
    for chunk in _chunks(photos):
        images = [to_picture(read_picture(path)) for path in chunk]  # upright
        prepared = [pipe.prepare(image.convert('L') if luma else image) for image in images]
        ab = pipe.predict(prepared)
        for factor, metrics in figures.items():
            samples = [
                dict(pred_img=to_tensor(pipe.finish(photo, color, factor)), gt_img=to_tensor(image))
                for image, photo, color in zip(images, prepared, ab, strict=True)
            ]
            for metric in metrics:
                metric.process(None, samples)
    return {
        factor: psnr.evaluate(len(photos)) | cf.evaluate(len(photos))
        for factor, (psnr, cf) in figures.items()
    }


def _chunks(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in tqdm(range(0, len(paths), _AT_ONCE), disable=None):
        yield paths[start : start + _AT_ONCE]
