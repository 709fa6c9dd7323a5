"""The colorization pipeline, which every front end calls.

Color is predicted at a small square size, enlarged, and joined to the lightness of the original,
which is never resampled.
"""

import contextlib
import math
import numbers
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..utils.color_space import (
    AB_LIMITS,
    encoding_table,
    join_lightness_to_bytes,
    join_lightness_to_words,
    lightness_of,
    linear_table,
    luminance_weights,
)
from ..utils.deep_image import DeepImage
from ..utils.errors import ColorizeError
from ..utils.metadata import read_metadata
from ..utils.pixels import (
    MAX_PIXELS,
    Pixels,
    check_size,
    decoding,
    scale_transparency,
    to_eight_bits,
    to_pixels,
)
from .eval_mode import evaluating
from .overlap import overlap
from .weights import load_generator

AnyImage = Image.Image | np.ndarray
ImageT = TypeVar('ImageT', Image.Image, np.ndarray)

MIN_SIZE = 32
DEFAULT_SIZE = 256  # for a network that does not state its training size
_NETWORK_PIXELS = 2**21  # the most pixels in a batch if the size comes from the weights
# Colors fade between these values of L: near black and near white there are none.
_BLACK, _DARK, _BRIGHT, _WHITE = 1.0, 7.0, 92.5, 98.5
# Full-resolution conversions process bands of about this many pixels, which fit in the cache.
_BAND_PIXELS = 2**15


@dataclass(frozen=True)
class Photo:
    """An image between `prepare` and `finish`.

    Attributes:
        lightness: (H, W) float32, L in [0, 100], the original at full resolution.
        square: (1, size, size) float32, the same lightness as the network sees it.
        alpha: (H, W) uint8 or uint16, or None.
        deep: whether the image has more than 8 bits per channel.
        info: the `info` of a PIL result; None if the image was an array.
        remark: names the damaged metadata that was not copied; empty if there is none.
    """

    lightness: Tensor
    square: Tensor
    alpha: np.ndarray | None
    deep: bool
    info: dict | None
    remark: str


class _Taken(NamedTuple):
    """The pixels of an image, and its `info` and `remark` as in `Photo`."""

    pixels: Pixels
    info: dict | None = None
    remark: str = ''


class ColorizationPipeline:
    """Colorize images of any size.

    ```python
    pipe = ColorizationPipeline()
    pipe(Image.open('old.jpg')).save('new.jpg')
    ```

    An image is a PIL image of any mode except 32-bit and LAB, or a uint8 or uint16 array: (H, W)
    gray, (H, W, 3) sRGB or (H, W, 4) sRGB and alpha. The EXIF orientation and the ICC profile of a
    PIL image are applied. Only the lightness of the input is used; its color is replaced.

    The result has the same type and size as the input. It is a PIL image of mode RGB or RGBA with
    the metadata of the input in `info` (see `Metadata.to_info`), or an array of the same dtype and
    of shape (H, W, 3) or (H, W, 4). Alpha is kept unchanged. The lightness is that of the input.
    Colors fade out towards black and white, and the chroma of colors outside the sRGB gamut is
    reduced.

    Args:
        weights: see `load_generator`; None uses the bundled weights.
        config: the config file, needed for weights that do not describe their network.
        device: 'auto' (a CUDA GPU if there is one), 'cpu', 'cuda', 'cuda:N' or 'mps'.
        size: side in pixels of the square at which color is predicted, at least 32. The image is
            resized to this square. None uses the size at which the weights were trained
            (`generator.image_size`, or 256 if it is not set).
        batch_size: number of images per batch of the network; smaller if the weights were trained
            at more than 512 pixels and `size` is None.
        max_pixels: larger images are rejected before they are decoded.

    Raises:
        ColorizeError: if an argument is wrong, the weights cannot be used or the device is missing.
    """

    def __init__(
        self,
        weights: str | os.PathLike | None = None,
        config: str | os.PathLike | None = None,
        device: str = 'auto',
        size: int | None = None,
        batch_size: int = 8,
        max_pixels: int = MAX_PIXELS,
    ):
        self._set_sizes(size, batch_size, max_pixels)
        self._set_generator(load_generator(weights, config, _resolve_device(device)), size)

    @classmethod
    def from_generator(
        cls,
        generator: nn.Module,
        size: int | None = None,
        batch_size: int = 8,
        max_pixels: int = MAX_PIXELS,
    ) -> 'ColorizationPipeline':
        """Wrap an existing network, as training tools do.

        Args:
            generator: maps lightness (B, 1, H, W), L in [0, 100], to ab (B, 2, H, W) in CIELAB
                units. It stays on its device. It is in evaluation mode only while any thread
                predicts a batch.
            size, batch_size, max_pixels: as in the constructor.
        """
        pipe = cls.__new__(cls)
        pipe._set_sizes(size, batch_size, max_pixels)
        pipe._set_generator(generator, size)
        return pipe

    def _set_sizes(self, size: int | None, batch_size: int, max_pixels: int) -> None:
        if size is not None:
            self.size = _whole_number('size', size, MIN_SIZE)
        self.batch_size = _whole_number('batch_size', batch_size, 1)
        self.max_pixels = _whole_number('max_pixels', max_pixels, 1)

    def _set_generator(self, generator: nn.Module, size: int | None) -> None:
        self.generator = generator
        if size is None:
            self.size = getattr(generator, 'image_size', DEFAULT_SIZE)
            # Weights with a large training size get smaller batches.
            self.batch_size = min(self.batch_size, max(1, _NETWORK_PIXELS // self.size**2))

    @overload
    def __call__(self, images: ImageT, saturation: float | None = None) -> ImageT: ...
    @overload
    def __call__(
        self, images: Sequence[ImageT], saturation: float | None = None
    ) -> list[ImageT]: ...
    def __call__(
        self, images: AnyImage | Sequence[AnyImage], saturation: float | None = None
    ) -> AnyImage | Sequence[AnyImage]:
        """Colorize an image, or a list or tuple of images of any sizes.

        Args:
            images: see the class.
            saturation: factor on ab, finite, >= 0; 0 gives the gray image. None uses the factor
                stored with the weights (`generator.saturation`, or 1 if it is not set).

        Returns:
            The colorized image, or a list of colorized images.

        Raises:
            ColorizeError: if an image has another type, shape or dtype, the saturation is wrong,
                the network returns NaN or infinity, or there is too little memory.
        """
        several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        results = list(self.stream(several, saturation))
        return results if several is images else results[0]

    def stream(
        self, images: Iterable[AnyImage], saturation: float | None = None
    ) -> Iterator[AnyImage]:
        """Colorize one image after the other, with at most three batches in memory.

        Color conversion of the next and the previous batch overlaps with inference. The thread
        that consumes the results also consumes `images` and runs the network. Images are taken up
        to three batches ahead, and an image may be modified once the next one is requested.
        Arguments, results and errors are those of `__call__`. An error, also one that `images`
        raises, comes after the results of all earlier images.
        """
        if saturation is not None:
            check_saturation(saturation)
        outcomes = overlap(
            map(partial(self._take, copy=True), images),
            self._prepare,
            self.predict,
            partial(self.finish, saturation=saturation),
            self.batch_size,
            lambda taken: math.prod(taken.pixels.color.shape[:2]),
        )
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                yield outcome.result()

    def prepare(self, image: AnyImage) -> Photo:
        """Run the first of the three steps of `stream`: convert the image to lightness."""
        return self._prepare(self._take(image))

    def _take(self, image: AnyImage, copy: bool = False) -> _Taken:
        """Read the pixels of an image; `copy` also copies an array, which the caller may modify."""
        if isinstance(image, Image.Image):
            check_size(*image.size, self.max_pixels)
            with decoding():
                scale_transparency(image)  # before the metadata, which can be behind the pixels
                metadata = read_metadata(image)
            with _memory_errors('an image of this size'):
                pixels = to_pixels(image)
            height, width = pixels.color.shape[:2]
            remark = '; '.join(filter(None, (metadata.remark, pixels.remark)))
            if remark:
                warnings.warn(remark, stacklevel=2)
            return _Taken(pixels, metadata.to_info(width, height), remark)
        color, alpha, _ = _split_array(image)
        height, width = color.shape[:2]
        check_size(width, height, self.max_pixels)
        if copy:
            color, alpha = color.copy(), None if alpha is None else alpha.copy()
        return _Taken(Pixels(color, alpha))

    def _prepare(self, taken: _Taken) -> Photo:
        color, alpha, _ = taken.pixels
        with _memory_errors('an image of this size'):
            lightness = _lightness(color)
            square = _resize(lightness[None], (self.size, self.size))
        return Photo(lightness, square, alpha, color.itemsize > 1, taken.info, taken.remark)

    @torch.inference_mode()
    def predict(self, photos: Sequence[Photo]) -> Tensor:
        """Run the second step: the network, on one batch.

        Returns:
            ab: (B, 2, size, size), CIELAB units, float32 on the CPU.
        """
        batch = torch.stack([photo.square for photo in photos])
        device = next(self.generator.parameters(), batch).device
        what = f'the network at size {self.size}, batch size {len(photos)}'
        with evaluating(self.generator), _memory_errors(what):
            # Finished on the CPU: on the GPU, another thread's work would wait for the next batch.
            ab = self.generator(batch.to(device)).float().cpu()
        if not torch.isfinite(ab).all():
            raise ColorizeError('the network returned NaN or infinity: its weights are unusable')
        return ab

    def finish(self, photo: Photo, ab: Tensor, saturation: float | None = None) -> AnyImage:
        """Run the third step: join the color (2, size, size) and the lightness of the original."""
        if photo.info is None:
            return self._join(photo, ab, saturation, photo.deep)
        return self.finish_image(photo, ab, saturation)

    def finish_image(
        self, photo: Photo, ab: Tensor, saturation: float | None = None
    ) -> Image.Image:
        """Do the same for a photo that was a PIL image."""
        image = Image.fromarray(self._join(photo, ab, saturation, deep=False))
        image.info.update(photo.info or {})
        return image

    def finish_deep(self, photo: Photo, ab: Tensor, saturation: float | None = None) -> DeepImage:
        """Do the same with 16 bits per channel, which a PIL image cannot hold."""
        return DeepImage(self._join(photo, ab, saturation, deep=True), photo.info or {})

    @torch.inference_mode()
    def _join(self, photo: Photo, ab: Tensor, saturation: float | None, deep: bool) -> np.ndarray:
        if saturation is None:
            saturation = getattr(self.generator, 'saturation', 1.0)
        with _memory_errors('an image of this size'):
            return _join(photo, ab, saturation, deep)


def check_saturation(saturation: float) -> None:
    """Raise ColorizeError unless the factor is finite and >= 0."""
    if not isinstance(saturation, numbers.Real) or not 0 <= saturation < math.inf:
        raise ColorizeError(f'saturation must be a finite number >= 0, got {saturation!r}')


def _whole_number(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ColorizeError(f'{name} must be an integer >= {least}, got {value!r}')
    return int(value)


def _resolve_device(device: str) -> torch.device:
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in ('cpu', 'cuda', 'mps'):
        allowed = "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"
        raise ColorizeError(f'device must be {allowed}, got {device!r}')
    if resolved.type == 'mps' and not torch.backends.mps.is_available():
        raise ColorizeError(
            'device mps is not available: it needs a Mac with an Apple GPU and macOS 14 or later'
        )
    if resolved.type == 'cuda' and (resolved.index or 0) >= torch.cuda.device_count():
        raise ColorizeError(
            f'device {device} is not available: this machine or PyTorch build has no such GPU'
        )
    return resolved


def _split_array(image: np.ndarray) -> Pixels:
    allowed = 'a uint8 or uint16 array of shape (H, W), (H, W, 3) or (H, W, 4), or a PIL image'
    if not isinstance(image, np.ndarray):
        raise ColorizeError(f'an image must be {allowed}, got {type(image).__name__}')
    shape_ok = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    dtype_ok = image.dtype.newbyteorder('=') in (np.uint8, np.uint16)  # either byte order
    if not shape_ok or not dtype_ok or image.size == 0:
        raise ColorizeError(
            f'an image must be {allowed}, got an array of shape {image.shape} and dtype '
            f'{image.dtype}'
        )
    if image.ndim == 2 or image.shape[2] == 3:
        return Pixels(image, None)
    return Pixels(image[..., :3], image[..., 3])


@torch.inference_mode()
def _lightness(color: np.ndarray) -> Tensor:
    """Return L of every pixel, (H, W) float32, at the full precision of the input."""
    table = linear_table(256 if color.itemsize == 1 else 65536)
    if color.ndim == 2:
        return torch.from_numpy(lightness_of(table).numpy().take(color))
    height, width, _ = color.shape
    linear, weights = table.numpy(), luminance_weights()
    lightness = torch.empty(height, width)
    for columns in _slices(width, _BAND_PIXELS):
        for rows in _bands(height, columns):
            luminance = torch.from_numpy(linear.take(color[rows, columns])) @ weights
            lightness[rows, columns] = lightness_of(luminance)
    return lightness


def _join(photo: Photo, ab: Tensor, saturation: float, deep: bool) -> np.ndarray:
    """Return the colorized image, (H, W, 3 or 4) uint8, or uint16 if it is to be deep."""
    height, width = photo.lightness.shape
    ab = _resize(ab, (min(height, ab.shape[1]), min(width, ab.shape[2])))
    table = encoding_table()
    channels = 3 if photo.alpha is None else 4
    result = np.empty((height, width, channels), np.uint16 if deep else np.uint8)
    # Enlarge only the width at once; color at full height would be larger than the photo.
    for columns in _slices(width, _BAND_PIXELS):
        wide = _enlarged(ab, 2, width, columns)
        for rows in _bands(height, columns):
            lightness = photo.lightness[rows, columns]
            color = _enlarged(wide, 1, height, rows).mul_(saturation).clamp_(*AB_LIMITS)
            color *= _fade(lightness)
            if deep:
                joined = join_lightness_to_words(lightness, color)
            else:
                joined = join_lightness_to_bytes(lightness, color, table)
            result[rows, columns, :3] = joined.numpy()
    if photo.alpha is not None:
        result[..., 3] = _alpha(photo.alpha, deep)
    return result


def _alpha(alpha: np.ndarray, deep: bool) -> np.ndarray:
    """Return alpha with 8 or 16 bits."""
    if deep:
        return alpha if alpha.itemsize == 2 else alpha.astype(np.uint16) * 257
    return alpha if alpha.itemsize == 1 else to_eight_bits(alpha)


def _fade(lightness: Tensor) -> Tensor:
    """Return the factor that reduces color near black and white, where it is too strong.

    On 460 photos that were not used for training, the factor with the smallest squared error of ab
    falls almost linearly from L = 14 to 0, and from L = 95 to 100. This one leaves dark colors as
    they are for longer, since otherwise more vivid ones would stay gray, and falls earlier near
    white, so that white margins with some noise are neutral as well.
    """
    dark = (lightness - _BLACK) / (_DARK - _BLACK)
    return torch.minimum(dark, (_WHITE - lightness) / (_WHITE - _BRIGHT)).clamp(0, 1)


def _enlarged(maps: Tensor, dim: int, length: int, part: slice) -> Tensor:
    """Return a part of (C, H, W) maps of which one dimension was resized to a larger length."""
    before = maps.shape[dim]
    place = ((torch.arange(part.start, part.stop) + 0.5) * (before / length) - 0.5).clamp(
        0, before - 1
    )
    first = place.long()
    second = (first + 1).clamp(max=before - 1)
    share = (place - first).view(-1, *[1] * (2 - dim))
    return torch.lerp(maps.index_select(dim, first), maps.index_select(dim, second), share)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _bands(height: int, columns: slice) -> Iterator[slice]:
    """Yield the rows of each band; very wide images also have several parts side by side."""
    return _slices(height, max(1, _BAND_PIXELS // (columns.stop - columns.start)))


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, H, W), with antialiasing if it shrinks."""
    _, height, width = maps.shape
    if width < size[1] and height > size[0]:
        # PyTorch resizes the width first, which would make a narrow and high image many times
        # larger. It is turned, since PyTorch resizes only the height of one column wrongly.
        return _resize(maps.mT.contiguous(), size[::-1]).mT.contiguous()
    return F.interpolate(
        maps[None], size, mode='bilinear', align_corners=False, antialias=True
    ).squeeze(0)


@contextlib.contextmanager
def _memory_errors(what: str) -> Iterator[None]:
    """Turn a failed allocation into a ColorizeError; let every other error pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # CUDA has an exception class for it. On the CPU, only the message tells.
        if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
            'allocate memory' in str(error) or 'not enough memory' in str(error)
        ):
            raise ColorizeError(f'not enough memory for {what}') from error
        raise
