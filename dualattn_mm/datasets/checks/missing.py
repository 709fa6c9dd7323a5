"""Find the config options that set the location of missing data."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..leaves import loaded_datasets, named_metrics

# Their files are given by their full paths; those of datasets are below data_root.
_FULL_PATHS = re.compile(r'_evaluator\.|\.db_sampler\.')


def missing_data_hint(cfg: Config, message: str) -> str:
    """Return a hint for an error about a path in the config that does not exist.

    Args:
        cfg: a config of any library.
        message: the error message.

    Returns:
        Text to append to the message, with the options of all datasets that set this path; empty
        if no option sets it, or the message names one itself.
    """
    if re.search(r'\w=(FILE|FOLDER)\b', message):
        return ''
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
        options = ['data_root']  # the runner copies it to all datasets
    else:
        options = [
            option
            for option, path in paths
            if path == outermost or (_FULL_PATHS.search(option) and path.startswith(outermost))
        ]
    return f'; set its location with --cfg-options {" ".join(f"{name}=..." for name in options)}'


def _names(message: str, path: str) -> bool:
    """Return whether a message contains the path or a path below it."""
    return bool(re.search(rf'(?<![\w./-]){re.escape(path.rstrip("/"))}(?![\w-])', message))


def _paths(cfg: Config) -> Iterator[tuple[str, str]]:
    """Yield the data paths in a config, each with its option."""
    for loader in ('train', 'val', 'test'):
        for option, dataset in loaded_datasets(cfg, loader):
            root = dataset.get('data_root') or ''
            yield from _named(f'{option}.data_root', root)
            for name in ('ann_file', 'data_prefix'):
                for inner, path in _named(f'{option}.{name}', dataset.get(name)):
                    yield inner, os.path.join(root, path)
            for i, step in enumerate(dataset.get('pipeline') or []):
                sampler = step.get('db_sampler') or {}
                for name in ('data_root', 'info_path'):
                    inner = f'{option}.pipeline.{i}.db_sampler.{name}'
                    yield from _named(inner, sampler.get(name))
        for option, metric in named_metrics(cfg, loader):
            for name in ('data_root', 'ann_file'):
                yield from _named(f'{option}.{name}', metric.get(name))


def _named(option: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value:
        yield option, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _named(f'{option}.{name}', inner)
