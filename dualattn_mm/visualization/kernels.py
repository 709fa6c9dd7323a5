"""Show what color kernels respond to, and the color that each one adds (Fig. 9)."""

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
from ..utils.color_space import AB_LIMITS, encoding_table, join_lightness_to_bytes, rgb_to_lab
from ..utils.errors import ColorizeError, writing_to
from ..utils.folders import read_picture
from ..utils.image_io import write_image
from ..utils.tensors import to_picture, to_tensor, without_color
from .gallery import fit, gallery

_FLAT = 65.0  # lightness of the images that show only color
_STRONGEST = 60.0  # chroma of the strongest color in CIELAB units


class Kernels(NamedTuple):
    """The effect of K color kernels on an image.

    activations: (K, h, w), the maps of eq. 10.
    colors: (K, 2, H, W), the part of a and b that each kernel adds, in CIELAB units.
    bias: (2, H, W), the remaining part; together with the sum of `colors` it is the prediction.
    """

    activations: Tensor
    colors: Tensor
    bias: Tensor


@torch.inference_mode()
def kernels_of(head: ColorAttention, x: Tensor) -> Kernels:
    """Split the output of a head into the parts of its kernels.

    Args:
        head: the head in eval mode.
        x: (1, d, h, w), the input map of the head.
    """
    activations = head.activations(x)
    # Convolution and pixel shuffle are linear, so each kernel can be processed separately.
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
    """Draw an image, its result and the effect of color kernels.

    The first row shows the activations over the image; each is scaled from its lowest value (blue)
    to its highest (red). The second row shows only color, at a constant lightness: the color of the
    image, of the prediction, and the part that each kernel adds. These parts can be small, or large
    and canceled by other kernels. They are all multiplied by the same factor, which is written
    below them.

    Args:
        pipe: a pipeline whose network has a ColorAttention head.
        image: an image file.
        output: the PNG file to write; an existing file is replaced.
        kernels: indices of the kernels; the paper shows the first four.
        strongest: instead of `kernels`, show this many kernels that add the most color on average.
        saturation: as in `ColorizationPipeline`; it also applies to the colors of the kernels.
        height: height of every image in pixels.

    Returns:
        The indices of the kernels in the drawing.

    Raises:
        UserError: if the image cannot be used, the network has another head, an index is out of
            range, or the output cannot be written.
    """
    if output.suffix.lower() != '.png':
        raise ColorizeError(f'{output} must end in .png')
    if output.resolve() == image.resolve():
        raise ColorizeError(f'{output} is the input image and would be overwritten: change -o')
    head = getattr(pipe.generator, 'head', None)
    if not isinstance(head, ColorAttention):
        raise ColorizeError(f'the network has no color kernels: its head is {type(head).__name__}')
    count = len(head.queries)
    wrong = [k for k in kernels if not 0 <= k < count]
    if strongest is None and wrong:
        raise ColorizeError(f'there is no kernel {wrong[0]}: the kernels are 0 to {count - 1}')
    if strongest is not None and not 1 <= strongest <= count:
        raise ColorizeError(f'cannot show {strongest} kernels: the network has {count}')
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
        f'only color; the part that a kernel adds is multiplied by {factor:.2g}',
    ]
    with writing_to(output):
        write_image(gallery(columns, captions, height), output, 'PNG', overwrite=True)
    return list(kernels)


def _heat(activation: Tensor, gray: Image.Image) -> Image.Image:
    """Draw a map (h, w) over an image: red where it is high, blue where it is low."""
    low, high = activation.min(), activation.max()
    share = _resized(((activation - low) / (high - low).clamp(min=1e-12))[None], gray.size[::-1])
    heat = matplotlib.colormaps['jet'](share[0].clamp(0, 1).numpy(), bytes=True)[..., :3]
    return Image.blend(gray, Image.fromarray(np.ascontiguousarray(heat)), 0.55)


def _flat(ab: Tensor, size: tuple[int, int]) -> Image.Image:
    """Draw color (2, h, w), in CIELAB units, at a constant lightness.

    Colors outside sRGB are drawn with less chroma.
    """
    color = _resized(ab.float().cpu(), size).clamp(*AB_LIMITS)
    joined = join_lightness_to_bytes(torch.full(size, _FLAT), color, encoding_table())
    return Image.fromarray(joined.numpy())


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[None], size, mode='bilinear', align_corners=False)[0]
