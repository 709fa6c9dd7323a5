"""A folder of photos as a data set: every photo is its own ground truth."""

import os

from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS

from ..apis.image_io import FORMATS, IMAGE_SUFFIXES


@DATASETS.register_module()
class ColorizationDataset(BaseDataset):
    """All photos below a folder and its subfolders, in order of their paths.

    Takes the arguments of mmengine's BaseDataset: `data_root` is the folder, `pipeline` the
    transforms.

    Raises:
        FileNotFoundError: if there is no photo below `data_root`.
    """

    def load_data_list(self) -> list[dict]:
        """One dict per photo, with `img_path`."""
        found = list_dir_or_file(self.data_root, list_dir=False, recursive=True)
        paths = sorted(path for path in found if path.lower().endswith(IMAGE_SUFFIXES))
        if not paths:
            raise FileNotFoundError(f'no {"/".join(FORMATS)} image below {self.data_root}')
        return [dict(img_path=os.path.join(self.data_root, path)) for path in paths]
