"""What color kernels respond to, and the color that each adds (the paper's Fig. 9)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..apis.pipeline import ColorizationPipeline
from ..models.heads.color_attention import ColorAttention
from ..utils.color_space import join_lightness, rgb_to_lab
from ..utils.errors import ColorizeError
from ..utils.folders import read_picture
from ..utils.image_io import write_image
from ..utils.tensors import to_picture, to_tensor, without_color
from .gallery import fit, gallery

_FLAT = 65.0  # lightness of the pictures of color alone
_STRONGEST = 60.0  # chroma of the strongest color drawn, in CIELAB units: sRGB has it


class Kernels(NamedTuple):
    """What K color kernels do on an image.

    activations: (K, h, w), the maps of eq. 10.
    colors: (K, 2, H, W), what each adds to a and b, in CIELAB units.
    bias: (2, H, W), what none of them adds; with the sum of `colors` it is the prediction.
    """

    activations: Tensor
    colors: Tensor
    bias: Tensor


@torch.inference_mode()
def kernels_of(head: ColorAttention, x: Tensor) -> Kernels:
    """Take the output of a head apart by its kernels.

    Args:
        head: in eval mode.
        x: (1, d, h, w), the map that it gets.
    """
    activations = head.activations(x)
    # Convolution and pixel shuffle are linear, so that kernels can go through them one by one.
    weight, bias = head.to_ab.weight, head.to_ab.bias
    count, outputs = head.to_ab.in_channels, head.to_ab.out_channels
    colors = F.conv2d(
        activations, weight.transpose(0, 1).reshape(-1, 1, 3, 3), padding=1, groups=count
    )
    colors = F.pixel_shuffle(colors.view(count, outputs, *x.shape[2:]), head.upscale)
    rest = bias.view(1, -1, 1, 1).expand(1, -1, *x.shape[2:])
    return Kernels(activations[0], colors, F.pixel_shuffle(rest, head.upscale)[0])


def visualize_kernels(
    pipe: ColorizationPipeline,
    image: Path,
    output: Path,
    kernels: Sequence[int] = (0, 1, 2, 3),
    strongest: int | None = None,
    saturation: float | None = None,
    height: int = 200,
) -> list[int]:
    """Draw an image, its result, and what kernels do on it.

    The first row has the activations, each from its own least (blue) to its own highest (red),
    over the image. The second has color alone, at one lightness: the image's own, the
    prediction's, and what each kernel adds. That is little, or much that other kernels take back,
    so all of it is drawn times one factor, which is written below.

    Args:
        pipe: its network's head is a ColorAttention.
        image: an image file.
        output: a PNG file, which is replaced if it exists.
        kernels: their numbers, from 0 on; the paper shows the first four.
        strongest: instead of `kernels`, the number of kernels to show, of those that add most
            color on average.
        saturation: as in `ColorizationPipeline`; the kernels' colors
            have it as well.
        height: of every picture, in pixels.

    Returns:
        The numbers of the kernels drawn.

    Raises:
        ColorizeError: for an unusable image, another head, or a number that there is no kernel of.
    """
    if output.suffix.lower() != '.png':
        raise ColorizeError(f'{output} must end in .png')
    if output.resolve() == image.resolve():
        raise ColorizeError(f'{output} is the image and would be overwritten')
    head = getattr(pipe.generator, 'head', None)
    if not isinstance(head, ColorAttention):
        raise ColorizeError(f'the network has no color kernels: its head is {type(head).__name__}')
    count = len(head.queries)
    wrong = [k for k in kernels if not 0 <= k < count]
    if strongest is None and wrong:
        raise ColorizeError(f'there is no kernel {wrong[0]}: their numbers are 0 to {count - 1}')
    if strongest is not None and not 1 <= strongest <= count:
        raise ColorizeError(f'{strongest} of {count} kernels cannot be shown')
    if saturation is None:
        saturation = getattr(pipe.generator, 'saturation', 1.0)
    picture = to_picture(read_picture(image))
    photo = pipe.prepare(picture)
    seen = []
    hook = head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        ab = pipe.predict([photo])
    finally:
        hook.remove()
    parts = kernels_of(head, seen[0])
    result = fit(pipe.finish(photo, ab[0], saturation), height)
    colors = saturation * parts.colors.float().cpu()
    if strongest is not None:
        order = colors.norm(dim=1).mean(dim=(1, 2)).argsort(descending=True)
        kernels = order[:strongest].tolist()
    small = fit(picture, height)
    gray = to_picture(without_color(to_tensor(small)))
    size = (gray.height, gray.width)
    shown = colors[list(kernels)]
    factor = _STRONGEST / max(float(shown.norm(dim=1).max()), 1e-6)
    columns = {
        'input': [gray, _flat(rgb_to_lab(to_tensor(small)[None] / 255)[0, 1:], size)],
        'result': [result, _flat(saturation * ab[0], size)],
    }
    for k, color in zip(kernels, shown, strict=True):
        heat = _heat(parts.activations[k].float().cpu(), gray)
        columns[f'kernel {k}'] = [heat, _flat(factor * color, size)]
    captions = [
        'activation: red is high',
        f'color alone; that which a kernel adds, times {factor:.2g}',
    ]
    try:
        write_image(gallery(columns, captions, height), output, 'PNG', overwrite=True)
    except OSError as error:
        raise ColorizeError(f'{output} cannot be written: {error.strerror or error}') from None
    return list(kernels)


def _heat(activation: Tensor, gray: Image.Image) -> Image.Image:
    """A map (h, w) over an image: red where it is high, blue where it is low."""
    low, high = activation.min(), activation.max()
    share = _resized(((activation - low) / (high - low).clamp(min=1e-12))[None], gray.size[::-1])
    heat = matplotlib.colormaps['jet'](share[0].clamp(0, 1).numpy(), bytes=True)[..., :3]
    return Image.blend(gray, Image.fromarray(np.ascontiguousarray(heat)), 0.55)


def _flat(ab: Tensor, size: tuple[int, int]) -> Image.Image:
    """Color (2, h, w) in CIELAB units at one lightness."""
    lightness = torch.full((1, *size), _FLAT)
    return to_picture(255 * join_lightness(lightness, _resized(ab, size)))


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[None], size, mode='bilinear', align_corners=False)[0]
