"""Figures that were measured: JSON files of tools/test.py and of the benchmark."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import UserError
from .tables import Evaluation, Metric

_LARGEST = 2**24  # bytes; logs of training are JSON files too


@dataclass(frozen=True)
class Measured:
    """A figure, and what to say of it.

    Attributes:
        value: the figure; None where there is none.
        source: the file that it is from.
        instead: why there is none, although there is a file that seems to have it.
    """

    value: float | None = None
    source: str | None = None
    instead: str | None = None


class Results:
    """All results below a folder.

    Args:
        folder: searched with its subfolders for JSON files; others than those two tools' are passed
            over.

    Raises:
        UserError: if it is no folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._tests: list[tuple[Path, dict]] = []
        self._benchmarks: list[tuple[Path, dict]] = []
        if folder is None:
            return
        if not folder.is_dir():
            raise UserError(f'no folder {folder}')
        for path, content in _json_files(folder):
            if isinstance(content.get('metrics'), dict) and 'config' in content:
                self._tests.append((path, content))
            elif isinstance(content.get('measurements'), list) and 'machine' in content:
                self._benchmarks.append((path, content))

    def of_test(self, metric: Metric, test: Evaluation, options: Mapping[str, Any]) -> Measured:
        """The newest figure of a metric in a test.

        It counts when tools/test.py was called with the test's config and options, and with no
        others that change the model.

        Args:
            metric: names the results that it is, or is the mean of.
            test: how it is measured.
            options: the row's.
        """
        wanted = _plain({**options, **test.options})
        names = (metric.of,) if isinstance(metric.of, str) else metric.of
        instead = None
        for path, content in self._tests:
            if Path(str(content['config'])).parts[-2:] != Path(test.config).parts[-2:]:
                continue
            given = _plain(content.get('cfg_options') or {})
            of_model = {key: given[key] for key in given if key.partition('.')[0] == 'model'}
            if any(key not in given or given[key] != wanted[key] for key in wanted) or any(
                key not in wanted for key in of_model
            ):
                continue
            values = [content['metrics'].get(name) for name in names]
            if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
                continue
            images = content.get('images')
            if test.images is not None and images != test.images:
                instead = instead or f'{path} is of {images} images, not of {test.images}'
                continue
            return Measured(metric.times * statistics.fmean(values), str(path))
        return Measured(instead=instead)

    def of_benchmark(self, network: str) -> Measured:
        """Images per second of a network on a GPU, the fastest of all settings."""
        found = Measured()
        for path, content in self._benchmarks:
            machine = content['machine']
            if 'gpu' not in machine:
                continue
            for sample in content['measurements']:
                setting = sample['setting']
                if sample['network'] != network or setting['mode'] != 'infer':
                    continue
                value = setting['batch_size'] / statistics.median(sample['seconds'])
                if found.value is None or value > found.value:
                    found = Measured(value, f'{path} ({machine["gpu"]})')
        return found


def _json_files(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Those that hold a mapping, the newest first."""
    paths = [p for p in folder.rglob('*.json') if p.is_file() and p.stat().st_size <= _LARGEST]
    for path in sorted(paths, key=lambda p: (-p.stat().st_mtime, p)):
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            yield path, content


def _plain(options: Mapping[str, Any], start: str = '') -> dict[str, Any]:
    """Options by dotted names, lists for tuples: as JSON has them."""
    plain = {}
    for key, value in options.items():
        name = f'{start}{key}'
        if isinstance(value, Mapping):
            plain |= _plain(value, f'{name}.')
        else:
            plain[name] = json.loads(json.dumps(value, default=str))
    return plain
