"""What weights have to beat: gray, one color for everything, and the same network untrained."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.registry import MODELS
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from dualattn_mm.apis.pipeline import ColorizationPipeline
from dualattn_mm.evaluation.color import ColorizationCF
from dualattn_mm.evaluation.fidelity import ColorizationPSNR
from dualattn_mm.utils.color_space import rgb_to_lab
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.folders import pictures_by_name, read_picture
from dualattn_mm.utils.image_io import read_image, write_image
from dualattn_mm.utils.tensors import to_picture

_AT_ONCE = 64


class OneColor(nn.Module):
    """A generator that gives every pixel the same color.

    Args:
        a, b: the color, in CIELAB units.
    """

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.register_buffer('ab', torch.tensor([a, b])[:, None, None])

    def forward(self, lightness: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 2, H, W)."""
        return self.ab.expand(len(lightness), 2, *lightness.shape[2:])


def mean_color(folders: Sequence[Path], size: int = 64) -> tuple[float, float]:
    """Mean a and b over the pixels of all photos, which count alike whatever their size.

    Args:
        folders: searched with subfolders.
        size: side of the square to which photos are squashed for this.

    Raises:
        UserError: if there is no photo, or one cannot be read.
    """
    means = []
    for path in tqdm([p for f in folders for p in pictures_by_name(f).values()], disable=None):
        means.append(rgb_to_lab(read_picture(path, size) / 255)[1:].mean((1, 2)))
    a, b = torch.stack(means).double().mean(0).tolist()
    return a, b


def untrained(generator_cfg: Mapping, seed: int = 0) -> nn.Module:
    """The network of a config with random weights."""
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
    """Colorize all pictures below a folder to PNG files of the same names.

    Args:
        luma: colorize the pictures as Pillow's mode L has them (the luma of a gray scan), not by
            their exact CIELAB lightness.

    Raises:
        UserError: if there is no picture, or one cannot be read.
    """
    pictures = pictures_by_name(source)
    images = (
        read_image(path).convert('L') if luma else read_image(path) for path in pictures.values()
    )
    results = pipe.stream(images, saturation)
    for name, result in zip(tqdm(pictures, unit='image', disable=None), results, strict=True):
        write_image(result, target / f'{name}.png', 'PNG', overwrite=True)


def choose_saturation(
    pipe: ColorizationPipeline, photos: Sequence[Path], candidates: Sequence[float]
) -> float:
    """The largest factor on the colors that costs nothing against gray photos.

    That is, of the candidates whose mean PSNR over these photos is at least that of gray and whose
    mean CF is not above the photos' own. Not for photos that a measurement is to be made on.

    Args:
        pipe: with the weights to choose for.
        photos: image files, some hundred.
        candidates: factors, rising.

    Raises:
        UserError: if no candidate is fit.
    """
    found = measure_factors(pipe, photos, (0.0, *candidates))
    fit = [
        factor
        for factor in candidates
        if found[factor]['PSNR'] >= found[0.0]['PSNR']
        and found[factor]['CF'] <= found[factor]['CF_truth']
    ]
    if not fit:
        raise UserError('no factor on the colors is as good as gray: train longer')
    return max(fit)


def measure_factors(
    pipe: ColorizationPipeline, photos: Sequence[Path], factors: Sequence[float]
) -> dict[float, dict[str, float]]:
    """PSNR, CF and CF of the truth of photos, at their own sizes, for each factor on the colors.

    Args:
        pipe: with the weights to measure.
        photos: image files.
        factors: on the colors; 0 is gray.
    """
    figures = {factor: (ColorizationPSNR(), ColorizationCF()) for factor in factors}
    for chunk in _chunks(photos):
        images = [to_picture(read_picture(path)) for path in chunk]  # upright
        prepared = [pipe.prepare(image) for image in images]
        ab = pipe.predict(prepared)
        for factor, metrics in figures.items():
            samples = [
                dict(pred_img=_tensor(pipe.finish(photo, color, factor)), gt_img=_tensor(image))
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


def _tensor(image: Image.Image) -> Tensor:
    from torchvision.transforms.v2.functional import pil_to_tensor

    return pil_to_tensor(image)
