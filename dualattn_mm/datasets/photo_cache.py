"""A cache of decoded photos in memory, shared by all workers of a data loader."""

import mmap
import multiprocessing

import numpy as np
import torch
from torch import Tensor

from ..utils.errors import UserError, first_line

_GIB = 1 << 30


class PhotoCache:
    """Keep decoded photos, so that each file is read and decoded only once.

    The memory is an anonymous shared mapping. All processes that are forked after this object was
    created (mmengine forks the workers of a data loader) read and fill the same pages. Pages that
    are never written take no memory.

    Args:
        count: number of photos.
        gib: memory limit in GiB. Photos that do not fit are not cached.

    Raises:
        UserError: if the memory cannot be reserved.
    """

    def __init__(self, count: int, gib: float) -> None:
        self.limit = int(gib * _GIB)
        try:
            memory = mmap.mmap(-1, self.limit)
        except (OSError, OverflowError) as error:
            raise UserError(
                f'cannot reserve {gib:g} GiB of memory for the cache of photos '
                f'({first_line(error)}): set another cache_gib; 0 disables the cache'
            ) from None
        self._pixels = np.frombuffer(memory, dtype=np.uint8)
        # Offset, height and width of each photo. The width is written last and is 0 until then.
        table = mmap.mmap(-1, count * 3 * 8)
        self._places = np.frombuffer(table, dtype=np.int64).reshape(count, 3)
        # The offset of the first free byte, and whether a photo did not fit.
        self._state = np.frombuffer(mmap.mmap(-1, 2 * 8), dtype=np.int64)
        self._lock = multiprocessing.get_context('fork').Lock()

    def get(self, index: int) -> Tensor | None:
        """Return a photo as (3, H, W) uint8, or None if it is not cached."""
        start, height, width = self._places[index].tolist()
        if not width:
            return None
        pixels = self._pixels[start : start + height * width * 3].reshape(height, width, 3)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def put(self, index: int, image: Tensor) -> bool:
        """Cache a photo (3, H, W) uint8 if it fits.

        Returns:
            False for the first photo that does not fit, so that it is reported; otherwise True.
        """
        with self._lock:
            start = int(self._state[0])
            if start + image.numel() > self.limit:
                first, self._state[1] = not self._state[1], 1
                return not first
            if self._places[index, 2]:  # another worker was faster
                return True
            self._state[0] = start + image.numel()
        pixels = image.permute(1, 2, 0).contiguous().numpy().ravel()
        self._pixels[start : start + pixels.size] = pixels
        self._places[index, :2] = start, image.shape[1]
        self._places[index, 2] = image.shape[2]
        return True
