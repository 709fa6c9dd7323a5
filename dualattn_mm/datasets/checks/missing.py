"""Missing data: which options of a config say where they are."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..leaves import named_leaf_datasets


def missing_data_hint(cfg: Config, message: str) -> str:
    """What to do about an error that names a path of the config that does not exist.

    Args:
        cfg: of any library.
        message: the error's.

    Returns:
        The options of all data sets that name this path, as the end of the message; empty if it is
        none of theirs.
    """
    paths = list(_paths(cfg))
    missing = [
        path
        for _, path in paths
        if '://' not in path and not os.path.exists(path) and _names(message, path)
    ]
    if not missing:
        return ''
    outermost = min(missing, key=len)
    if cfg.get('runner_type') == 'ClassFolderRunner' and outermost == cfg.get('data_root'):
        options = ['data_root']  # which it gives to all data sets
    else:
        # An evaluator's file is named whole.
        options = [
            option
            for option, path in paths
            if path == outermost or ('_evaluator.' in option and path.startswith(outermost))
        ]
    return f'; --cfg-options {" ".join(f"{name}=..." for name in options)} says where it is'


def _names(message: str, path: str) -> bool:
    """Whether it names the path, or one below it."""
    return bool(re.search(rf'(?<![\w./-]){re.escape(path.rstrip("/"))}(?![\w-])', message))


def _paths(cfg: Config) -> Iterator[tuple[str, str]]:
    """The paths of data in a config, each with its option."""
    for loader in ('train', 'val', 'test'):
        for option, dataset in _datasets(cfg.get(f'{loader}_dataloader'), f'{loader}_dataloader'):
            root = dataset.get('data_root') or ''
            yield from _named(f'{option}.data_root', root)
            for name in ('ann_file', 'data_prefix'):
                for inner, path in _named(f'{option}.{name}', dataset.get(name)):
                    yield inner, os.path.join(root, path)
        evaluator = cfg.get(f'{loader}_evaluator')
        if isinstance(evaluator, Mapping):
            yield from _named(f'{loader}_evaluator.ann_file', evaluator.get('ann_file'))


def _datasets(loaders: Any, option: str) -> Iterator[tuple[str, Any]]:
    if isinstance(loaders, Mapping):
        yield from named_leaf_datasets(loaders.get('dataset'), f'{option}.dataset')
    else:  # mmagic's tests have several
        for i, one in enumerate(loaders or []):
            yield from _datasets(one, f'{option}.{i}')


def _named(option: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value:
        yield option, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _named(f'{option}.{name}', inner)
