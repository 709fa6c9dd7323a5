"""Decoded photos in memory that all workers of a data loader share."""

import mmap
import multiprocessing

import numpy as np
import torch
from torch import Tensor

_GIB = 1 << 30


class PhotoCache:
    """Keeps decoded photos, so that each file is read and decoded once.

    The memory is an anonymous shared mapping: every process that is forked after this object was
    made (mmengine forks the workers of a data loader) reads and fills the same pages, and a page
    that nothing was written to costs nothing.

    Args:
        count: number of photos.
        gib: memory limit in GiB. Photos that no longer fit are not kept.
    """

    def __init__(self, count: int, gib: float) -> None:
        self.limit = int(gib * _GIB)
        self._pixels = np.frombuffer(mmap.mmap(-1, self.limit), dtype=np.uint8)
        # Per photo: offset, height, width. The width is written last and 0 until then.
        table = mmap.mmap(-1, count * 3 * 8)
        self._places = np.frombuffer(table, dtype=np.int64).reshape(count, 3)
        # The offset of the first free byte, and whether a photo was turned away.
        self._state = np.frombuffer(mmap.mmap(-1, 2 * 8), dtype=np.int64)
        self._lock = multiprocessing.get_context('fork').Lock()

    def get(self, index: int) -> Tensor | None:
        """The photo (3, H, W) uint8, or None if it is not here."""
        start, height, width = self._places[index].tolist()
        if not width:
            return None
        pixels = self._pixels[start : start + height * width * 3].reshape(height, width, 3)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def put(self, index: int, image: Tensor) -> bool:
        """Keep a photo (3, H, W) uint8, if it fits.

        Returns:
            False for the first photo that does not fit, to be reported; otherwise True.
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
