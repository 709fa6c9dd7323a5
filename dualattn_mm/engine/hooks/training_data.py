"""A short fingerprint of the training data."""

import hashlib
import os
from typing import Any

from torch.utils.data import Dataset

from ...datasets.leaves import iter_leaf_datasets

_NAMES = 10_000  # about this many names of a dataset are hashed, because reading all takes long


def training_data(dataset: Dataset) -> dict[str, int | str]:
    """Return the number of samples and a hash of file names relative to the dataset's folder.

    Args:
        dataset: any dataset; names are read from mmengine's BaseDataset, also inside wrappers.
    """
    names = hashlib.sha256()
    for leaf in iter_leaf_datasets(dataset):
        if hasattr(leaf, 'get_data_info'):
            root = str(getattr(leaf, 'data_root', None) or '')
            root = os.path.normpath(root) if root else ''
            for i in range(0, len(leaf), max(1, len(leaf) // _NAMES)):
                name = os.path.normpath(_file_name(leaf.get_data_info(i)))
                name = name.removeprefix(root).lstrip('/')
                names.update(name.encode(errors='surrogateescape') + b'\0')
    return dict(samples=len(dataset), names=names.hexdigest()[:16])


def _file_name(info: dict[str, Any]) -> str:
    points = info.get('lidar_points') or {}
    return str(info.get('img_path') or points.get('lidar_path') or '')
