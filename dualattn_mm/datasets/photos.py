"""A dataset of photos, in which every photo is its own ground truth."""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from torch import Tensor

from ..utils.checks import require
from ..utils.errors import ColorizeError, shortened
from ..utils.image_io import FORMATS, IMAGE_SUFFIXES
from ..utils.tensors import read_photo, squash
from ..utils.walk import files_below
from .photo_cache import PhotoCache
from .reports import report

# mmengine would give up after 1,000, without a reason.
_LEFT_OUT = 500
_LOOKED_FOR = 100  # number of checked photos in a list, which can have millions


@DATASETS.register_module()
class ColorizationDataset(BaseDataset):
    """All photos in a folder and its subfolders, sorted by path, or the photos in a list.

    Hidden files and folders are ignored. Linked folders are searched once each.

    The dataset takes the arguments of mmengine's BaseDataset: `data_root` is the folder, `pipeline`
    the transforms, and `ann_file` a text file with one path per line. These paths, and the path of
    the text file itself, are relative to `data_root`.

    In training, an unreadable file is reported once and replaced by another photo. In a test
    (`test_mode`) it is an error, because the metrics would not be comparable without it.

    Args:
        max_broken: training stops if more files than this are damaged.
        cache_gib: memory in GiB for a cache of decoded photos, which the workers of a data loader
            share; 0 disables it. Photos that do not fit are read from their files each time, after
            a warning. In distributed training, each process has its own cache.
        cache_side: photos are shrunk to a shorter side of at most this many pixels before they are
            cached; 0 keeps their size.
        cache_square: cache photos resized to squares of `cache_side` pixels instead. They then
            form batches without a crop in the pipeline, and `ColorizationBatchCrop` crops the whole
            batch.

    Raises:
        FileNotFoundError: if `data_root` contains no photo, the list does not exist or is empty, or
            photos in the list do not exist. A test requires all of them; training only fails if
            the first 100 are all missing.
        ValueError: if `cache_square` is set without `cache_gib` or `cache_side`.
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
            # In memory that the workers of the data loader share, so that they count together.
            self._broken = torch.zeros(len(self), dtype=torch.bool).share_memory_()
            self._left_out = 0
            self._cache = PhotoCache(len(self), self.cache_gib) if self.cache_gib else None

    def load_data_list(self) -> list[dict]:
        """Return one dict per photo, with `img_path`."""
        if self.ann_file:
            paths = self._listed(Path(self.ann_file))
        else:
            folder = self.data_root or '.'
            if not os.path.isdir(folder):
                raise FileNotFoundError(f'the folder of photos {folder} does not exist')
            found = map(str, files_below(folder))
            paths = sorted(path for path in found if path.lower().endswith(IMAGE_SUFFIXES))
            if not paths:
                raise FileNotFoundError(
                    f'no {"/".join(FORMATS)} image in {folder} or its subfolders'
                )
        return [dict(img_path=path) for path in paths]

    def prepare_data(self, idx: int) -> dict | None:
        """Return the sample, or None so that mmengine loads another one.

        Raises:
            ColorizeError: in a test, if the photo cannot be read; in training, if more than
                `max_broken` or all photos cannot be read (the message names them), or if the
                pipeline leaves out 500 photos in a row.
        """
        info = self.get_data_info(idx)
        try:
            if self._cache is not None:
                info['img'] = self._cached(idx, Path(info['img_path']))
            sample = self.pipeline(info)
        except ColorizeError as error:
            path, reason = info['img_path'], error
            if self.test_mode:
                raise ColorizeError(f'{path}: {error}') from None
            if not self._broken[idx]:
                self._broken[idx] = True
                report(f'skipped {path}: {error}')
        else:
            self._left_out = 0 if sample is not None else self._left_out + 1
            if self._left_out < _LEFT_OUT:
                return sample
            raise ColorizeError(
                f'the pipeline left out {_LEFT_OUT} photos in a row: are they gray? Those with '
                'little color are skipped (min_colorfulness of SkipNearGray)'
            )
        broken = self._broken.nonzero().flatten().tolist()
        if len(broken) == len(self):
            raise ColorizeError(
                f'none of the {len(broken)} photos can be read, for example {path}: {reason}'
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
                report(
                    f'the cache of {self.cache_gib:g} GiB (cache_gib) is full: the remaining '
                    'photos are read from their files each time'
                )
        return image

    def _listed(self, path: Path) -> list[str]:
        """Read a list of photos and check that the first ones (in a test, all of them) exist."""
        if not path.is_file():
            raise FileNotFoundError(f'the list of photos {path} does not exist')
        # File names can contain any bytes, and some editors start a file with a byte order mark.
        text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
        names = [name for line in text.split('\n') if (name := line.strip(' \t\r'))]
        if not names:
            raise FileNotFoundError(f'the list of photos {path} is empty')
        paths = [os.path.join(self.data_root or '', name) for name in names]
        looked_for = paths if self.test_mode else paths[:_LOOKED_FOR]
        missing = [photo for photo in looked_for if not os.path.lexists(photo)]
        if missing and (self.test_mode or len(missing) == len(looked_for)):
            hint = ''
            if all(os.path.lexists(photo.rpartition(' ')[0]) for photo in missing):
                hint = '; each line must be only a path, without a label'
            raise FileNotFoundError(
                f'{len(missing)} of the first {len(looked_for)} photos of the list {path} do not '
                f'exist ({shortened(missing)}){hint}'
            )
        return paths


def _shrunk(image: Tensor, short_side: int) -> Tensor:
    """Shrink an image (3, H, W) uint8 to a shorter side of at most `short_side`; 0 keeps it."""
    if not short_side or min(image.shape[1:]) <= short_side:
        return image
    factor = short_side / min(image.shape[1:])
    size = [max(1, round(side * factor)) for side in image.shape[1:]]
    return F.interpolate(image[None], size, mode='bilinear', antialias=True)[0]
