"""Photos as a data set: every photo is its own ground truth."""

import logging
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor

from ..utils.checks import require
from ..utils.errors import ColorizeError, shortened
from ..utils.image_io import FORMATS, IMAGE_SUFFIXES
from ..utils.tensors import read_photo, squash
from ..utils.terminal import printable
from ..utils.walk import files_below
from .photo_cache import PhotoCache

_LOOKED_FOR = 100  # photos of a list: a list can have millions


@DATASETS.register_module()
class ColorizationDataset(BaseDataset):
    """All photos below a folder and its subfolders, in order of their paths, or those of a list.

    Hidden files and folders are left out. Linked folders count, each of them once.

    Takes the arguments of mmengine's BaseDataset: `data_root` is the folder, `pipeline` the
    transforms, `ann_file` a text file with one path per line, relative to `data_root` (as is its
    own path).

    In training, an unreadable file is named once and replaced by another photo. In a test
    (`test_mode`) it is an error, because the test would measure something else without it.

    Args:
        max_broken: training stops once more files than this are damaged.
        cache_gib: memory in GiB for decoded photos, which the workers of a data loader share; 0
            reads the file each time. Photos beyond the limit are read each time, after a warning.
            Each process of a distributed training has a cache of its own.
        cache_side: photos are shrunk to at most this shorter side before they are kept, in pixels;
            0 keeps their size.
        cache_square: photos are squashed to squares of `cache_side` pixels instead, as they are in
            use. They then form batches without a crop, which
            `ColorizationBatchCrop` takes for all of
            them at once.

    Raises:
        FileNotFoundError: if there is no photo below `data_root`, or no list, or nothing in it, or
            the list names files that do not exist: one of them in a test, and the first 100 in
            training.
        ValueError: if `cache_square` is set without a cache or its side.
    """

    def __init__(
        self,
        *args,
        max_broken: int = 100,
        cache_gib: float = 0.0,
        cache_side: int = 320,
        cache_square: bool = False,
        **kwargs,
    ) -> None:
        if cache_square:
            require(cache_gib > 0, 'cache_gib', cache_gib, 'above 0 with cache_square')
            require(cache_side > 0, 'cache_side', cache_side, 'above 0 with cache_square')
        self.max_broken = max_broken
        self.cache_gib = cache_gib
        self.cache_side = cache_side
        self.cache_square = cache_square
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        """Read the list of photos, unless that is done."""
        if not self._fully_initialized:
            super().full_init()
            # In memory that the data loader's workers share, so that they count together.
            self._broken = torch.zeros(len(self), dtype=torch.bool).share_memory_()
            self._cache = PhotoCache(len(self), self.cache_gib) if self.cache_gib else None

    def load_data_list(self) -> list[dict]:
        """One dict per photo, with `img_path`."""
        if self.ann_file:
            paths = self._listed(Path(self.ann_file))
        else:
            folder = self.data_root or '.'
            if not os.path.isdir(folder):
                raise FileNotFoundError(f'no folder of photos {folder}')
            found = map(str, files_below(folder))
            paths = sorted(path for path in found if path.lower().endswith(IMAGE_SUFFIXES))
            if not paths:
                raise FileNotFoundError(f'no {"/".join(FORMATS)} image below {self.data_root}')
        return [dict(img_path=path) for path in paths]

    def prepare_data(self, idx: int) -> dict | None:
        """The sample, or None for mmengine to take another one.

        Raises:
            ColorizeError: if the photo cannot be read, in a test; in training if that makes more
                than `max_broken`, with all their names, or all photos.
        """
        info = self.get_data_info(idx)
        try:
            if self._cache is not None:
                info['img'] = self._cached(idx, Path(info['img_path']))
            return self.pipeline(info)
        except ColorizeError as error:
            path, reason = info['img_path'], error
            if self.test_mode:
                raise ColorizeError(f'{path}: {error}') from None
            if not self._broken[idx]:
                self._broken[idx] = True
                print_log(printable(f'skipped {path}: {error}'), 'current', logging.WARNING)
        broken = self._broken.nonzero().flatten().tolist()
        if len(broken) == len(self):
            raise ColorizeError(
                f'none of the {len(broken)} photos can be read, such as {path}: {reason}'
            )
        if len(broken) > self.max_broken:
            names = ', '.join(self.get_data_info(i)['img_path'] for i in broken)
            raise ColorizeError(
                f'{len(broken)} photos cannot be read, more than max_broken={self.max_broken}: '
                f'{names}'
            )
        return None

    def _cached(self, idx: int, path: Path) -> Tensor:
        image = self._cache.get(idx)
        if image is None:
            fit = squash if self.cache_square else _shrunk
            image = fit(read_photo(path), self.cache_side)
            if not self._cache.put(idx, image):
                print_log(
                    f'the cache of {self.cache_gib:g} GiB (cache_gib) is full: the remaining '
                    'photos are read from their files each time',
                    'current',
                    logging.WARNING,
                )
        return image

    def _listed(self, path: Path) -> list[str]:
        """The photos of a list, some of which are looked for at once (in a test, all of them)."""
        if not path.is_file():
            raise FileNotFoundError(f'no list of photos {path}')
        # Names of files need not be text; some editors begin it with a byte order mark.
        text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
        names = [line.strip() for line in text.splitlines() if line.strip()]
        if not names:
            raise FileNotFoundError(f'no photo is listed in {path}')
        paths = [os.path.join(self.data_root, name) for name in names]
        looked_for = paths if self.test_mode else paths[:_LOOKED_FOR]
        missing = [photo for photo in looked_for if not os.path.lexists(photo)]
        if missing and (self.test_mode or len(missing) == len(looked_for)):
            hint = ''
            if all(os.path.lexists(photo.rpartition(' ')[0]) for photo in missing):
                hint = '; the lines must be paths alone, without labels'
            raise FileNotFoundError(
                f'{len(missing)} of the first {len(looked_for)} photos of the list {path} do not '
                f'exist ({shortened(missing)}){hint}'
            )
        return paths


def _shrunk(image: Tensor, short_side: int) -> Tensor:
    """An image (3, H, W) uint8, whose shorter side is at most `short_side` unless that is 0."""
    if not short_side or min(image.shape[1:]) <= short_side:
        return image
    factor = short_side / min(image.shape[1:])
    size = [max(1, round(side * factor)) for side in image.shape[1:]]
    return F.interpolate(image[None], size, mode='bilinear', antialias=True)[0]
