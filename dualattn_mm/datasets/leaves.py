"""Find data loaders, datasets and metrics, where their files are, and select parts of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..utils.errors import RunError

_Row = TypeVar('_Row')


def iter_leaf_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the datasets inside RepeatDataset, ConcatDataset, MultiImageMixDataset, ...

    Args:
        dataset: the config of a dataset, or a dataset; None yields nothing.
    """
    return (leaf for _, leaf in named_leaf_datasets(dataset, ''))


def named_leaf_datasets(dataset: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the same datasets, each with its option in the config.

    Args:
        dataset: as in `iter_leaf_datasets`.
        name: the option of `dataset`, such as 'train_dataloader.dataset'.
    """
    if dataset is None:
        return
    get = dataset.get if isinstance(dataset, Mapping) else lambda name: getattr(dataset, name, None)
    if get('datasets'):
        for i, part in enumerate(get('datasets')):
            yield from named_leaf_datasets(part, f'{name}.datasets.{i}')
    elif get('dataset') is not None:
        yield from named_leaf_datasets(get('dataset'), f'{name}.dataset')
    else:
        yield name, dataset


def loaded_datasets(cfg: Mapping[str, Any], loader: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the configs of the datasets of a data loader, each with its option in the config.

    Args:
        cfg: a config of any library; mmagic can have several test data loaders.
        loader: 'train', 'val' or 'test'.
    """
    option = f'{loader}_dataloader'
    found = cfg.get(option)
    named = {option: found}
    if isinstance(found, list | tuple):
        named = {f'{option}.{i}': one for i, one in enumerate(found)}
    for name, one in named.items():
        if isinstance(one, Mapping):
            for inner, dataset in named_leaf_datasets(one.get('dataset'), f'{name}.dataset'):
                if isinstance(
                    dataset, Mapping
                ):  # others are objects that a Python config has built
                    yield inner, dataset


def loaders_of(loop: Any) -> list[Any]:
    """Return the data loaders of a loop of a runner, also before it has started.

    mmagic's MultiTestLoop has several, of which none is its `dataloader` before it has started.
    """
    return getattr(loop, 'dataloaders', None) or [loop.dataloader]


def named_metrics(cfg: Mapping[str, Any], loader: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the configs of the metrics of an evaluator, each with its option in the config.

    Args:
        cfg: a config of any library; its evaluator is a metric or a list of metrics.
        loader: 'train' (has none), 'val' or 'test'.
    """
    option = f'{loader}_evaluator'
    evaluator = cfg.get(option)
    found = {option: evaluator}
    if isinstance(evaluator, list | tuple):
        found = {f'{option}.{i}': metric for i, metric in enumerate(evaluator)}
    # Others are None, or objects that a Python config has built.
    yield from ((name, metric) for name, metric in found.items() if isinstance(metric, Mapping))


def on_local_disk(described: Mapping[str, Any]) -> bool:
    """Return whether a dataset, a metric or a transform reads its files without a backend."""
    backend = described.get('backend_args') or {}
    return backend.get('backend', 'local') == 'local'


def selected(rows: Sequence[_Row], indices: int | Sequence[int] | None) -> Sequence[_Row]:
    """Return what mmengine's dataset option `indices` selects; None selects all.

    Raises:
        RunError: if there is no such row.
    """
    if isinstance(indices, int):
        return rows[:indices] if indices >= 0 else rows[indices:]
    try:
        return rows if indices is None else [rows[i] for i in indices]
    except IndexError:
        raise RunError(
            f'indices of a dataset must be below {len(rows)}, the number of its samples, but has '
            f'{max(indices, key=abs)}'
        ) from None
