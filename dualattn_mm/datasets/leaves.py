"""Data sets within data sets."""

from collections.abc import Iterator, Mapping
from typing import Any


def iter_leaf_datasets(dataset: Any) -> Iterator[Any]:
    """The data sets within RepeatDataset, ConcatDataset, MultiImageMixDataset, ...

    Args:
        dataset: what a config says of one, or one that is built; None has none.
    """
    if dataset is None:
        return
    get = dataset.get if isinstance(dataset, Mapping) else lambda name: getattr(dataset, name, None)
    inner = get('datasets') or [get('dataset')]
    if inner == [None]:
        yield dataset
    for part in inner:
        yield from iter_leaf_datasets(part)
