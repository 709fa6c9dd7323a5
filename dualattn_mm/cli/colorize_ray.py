"""`dualattn colorize --ray`: colorize on the machines of a Ray cluster."""

import argparse
import contextlib
import copy
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from ..apis.colorize_files import FileColorizer, say
from ..apis.files import Plan
from ..apis.sources import Sources
from ..utils.atomic import atomic_file, check_writable
from ..utils.errors import ColorizeError
from ..utils.ray_pool import ray_cluster, run_batches, worker_options
from ..utils.remote import is_remote, url_of
from .colorize_steps import Tally, colorize, colorizer_options, make_pipeline, make_plan

MANIFEST = 'failed.jsonl'  # in the output folder
_FILES = 128  # in a batch of one worker, at most

Cluster = tuple[Path, list[Path]]  # as `Sources.clusters` yields them


class _Recorder(FileColorizer):
    """Records the messages, which the process that started the run prints."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.failures: list[tuple[str, str]] = []
        self.remarks: list[tuple[str, str]] = []

    def report(self, path: Path, reason: object) -> None:
        self.failed += 1
        self.failures.append((url_of(path), str(reason)))

    def note(self, path: Path, remark: str) -> None:
        self.remarks.append((url_of(path), remark))


class Worker:
    """Colorizes batches of files in a process of Ray."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.pipe = args, make_pipeline(args)

    def run(self, batch: list[Cluster]) -> Tally:
        """Colorize files; those whose results exist are skipped, also after an interruption."""
        sources = Sources(self.args.frames)
        for folder, paths in batch:
            for path in paths:
                sources.add(folder, str(path.parent), [path.name])
        files = _Recorder(self.pipe, **colorizer_options(self.args))
        tally = colorize(self.args, make_plan(self.args, sources), files)
        tally.failures, tally.remarks = files.failures, files.remarks
        return tally


def colorize_with_ray(args: argparse.Namespace, sources: Sources, todo: Plan) -> Tally:
    """Colorize the files on all machines of a cluster, which all have the same folders.

    Two files that could have the same result are in the same batch, and results are written
    atomically. So a batch can be repeated if its worker dies.

    Args:
        args: the arguments of the command.
        sources: the files.
        todo: the plan for all of them.

    Returns:
        What became of them. Files that a worker finished before it died count as skipped.
    """
    if args.frames:
        raise ColorizeError('--frames needs the frames in order: leave out --ray')
    if args.device.startswith('cuda:'):
        raise ColorizeError(f'--ray uses all GPUs: replace --device {args.device} by --device cuda')
    if args.overwrite:
        _check_apart(sources, todo.folder)
    check_writable(todo.folder)
    args = copy.copy(args)
    args.output = _absolute(args.output)
    for name in ('weights', 'config'):
        if (path := getattr(args, name)) and os.path.exists(path):
            setattr(args, name, os.path.abspath(path))
    total, start = Tally(), time.perf_counter()
    bar = tqdm(total=sources.count, unit='image', disable=None)
    with (
        ray_cluster(args.ray),
        _manifest(todo.folder / MANIFEST) as manifest,
        bar,
    ):

        def fail(path: str, reason: str) -> None:
            say(f'{path}: {reason}')
            print(json.dumps(dict(file=path, reason=reason)), file=manifest, flush=True)

        for path, reason in sources.failed:
            total.failed += 1
            fail(url_of(path), reason)
        workers = worker_options(use_gpus=args.device != 'cpu')
        size = max(1, min(_FILES, sources.count // (4 * len(workers))))
        for batch, tally in run_batches(Worker, (args,), _batches(sources, size), workers):
            paths = [path for _, paths in batch for path in paths]
            if tally is None:
                failures = [(url_of(path), 'the workers that colorized it died') for path in paths]
                tally = Tally(failed=len(paths), failures=failures)
            for failure in tally.failures:
                fail(*failure)
            for path, text in tally.remarks:
                say(f'{path}: {text}')
            tally.failures, tally.remarks = [], []
            total.add(tally)
            bar.update(len(paths))
    total.seconds = time.perf_counter() - start
    return total


@contextlib.contextmanager
def _manifest(path: Path) -> Iterator[TextIO]:
    """Open the list of failed files; a remote one is written in the end."""
    whole = atomic_file(path) if is_remote(path) else contextlib.nullcontext(path)
    with whole as here, open(here, 'w', encoding='utf-8') as manifest:
        yield manifest


def _absolute(path: Path) -> Path:
    return path if is_remote(path) else Path(os.path.abspath(path))


def _batches(sources: Sources, size: int) -> Iterator[list[Cluster]]:
    batch: list[Cluster] = []
    for folder, paths in sources.clusters():
        batch.append((folder, [_absolute(path) for path in paths]))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_apart(sources: Sources, output: Path) -> None:
    """Make sure that no result can replace an input; a worker only knows a part of them."""
    place = Path(os.path.realpath(output))
    for parent, names in itertools.chain.from_iterable(sources.names.values()):
        paths = (os.path.join(parent, name) for name in names)
        # A link can lead to a file in the output folder.
        for path in itertools.chain([parent], filter(os.path.islink, paths)):
            real = Path(os.path.realpath(path))
            if place in (real, *real.parents):
                raise ColorizeError(
                    f'{path} is in the output folder {url_of(output)}: change -o or '
                    'omit --overwrite'
                )
