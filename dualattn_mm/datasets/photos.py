"""Photos as a data set: every photo is its own ground truth."""

import logging
import os
from pathlib import Path

import torch
from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..utils.errors import ColorizeError
from ..utils.image_io import FORMATS, IMAGE_SUFFIXES


@DATASETS.register_module()
class ColorizationDataset(BaseDataset):
    """All photos below a folder and its subfolders, in order of their paths, or those of a list.

    Takes the arguments of mmengine's BaseDataset: `data_root` is the folder, `pipeline` the
    transforms, `ann_file` a text file with one path per line, relative to `data_root` (as is its
    own path).

    In training, a file that cannot be read is named once and another photo takes its place. In a
    test (`test_mode`), which would measure something else without it, it is an error.

    Args:
        max_broken: so many unreadable files are passed over; with one more training ends.

    Raises:
        FileNotFoundError: if there is no photo below `data_root`, or no list, or nothing in it.
    """

    def __init__(self, *args, max_broken: int = 100, **kwargs) -> None:
        self.max_broken = max_broken
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        """Read the list of photos, unless that is done."""
        if not self._fully_initialized:
            super().full_init()
            # In memory that the data loader's workers share, so that they count together.
            self._broken = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def load_data_list(self) -> list[dict]:
        """One dict per photo, with `img_path`."""
        if self.ann_file:
            names = self._listed(Path(self.ann_file))
        else:
            found = list_dir_or_file(self.data_root, list_dir=False, recursive=True)
            names = sorted(path for path in found if path.lower().endswith(IMAGE_SUFFIXES))
            if not names:
                raise FileNotFoundError(f'no {"/".join(FORMATS)} image below {self.data_root}')
        return [dict(img_path=os.path.join(self.data_root, name)) for name in names]

    def prepare_data(self, idx: int) -> dict | None:
        """The sample, or None for mmengine to take another one.

        Raises:
            ColorizeError: if the photo cannot be read, in a test; in training if that makes more
                than `max_broken`, with all their names.
        """
        try:
            return super().prepare_data(idx)
        except ColorizeError as error:
            path = self.get_data_info(idx)['img_path']
            if self.test_mode:
                raise ColorizeError(f'{path}: {error}') from None
            if not self._broken[idx]:
                self._broken[idx] = True
                print_log(f'skipped {path}: {error}', 'current', logging.WARNING)
        broken = self._broken.nonzero().flatten().tolist()
        if len(broken) > self.max_broken:
            names = ', '.join(self.get_data_info(i)['img_path'] for i in broken)
            raise ColorizeError(
                f'{len(broken)} photos cannot be read, more than max_broken={self.max_broken}: '
                f'{names}'
            )
        return None

    @staticmethod
    def _listed(path: Path) -> list[str]:
        if not path.is_file():
            raise FileNotFoundError(f'no list of photos {path}')
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        if not names:
            raise FileNotFoundError(f'no photo is listed in {path}')
        return names
