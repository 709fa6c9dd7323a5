"""Overlap reading, inference and writing."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

Item = TypeVar('Item')
Loaded = TypeVar('Loaded')
Result = TypeVar('Result')
Saved = TypeVar('Saved')

# The most pixels in a batch, which limits its memory. A larger image is a batch of its own.
BATCH_PIXELS = 2**25
# The most pixels of all images in memory, about 2 GB. A larger image is processed alone.
FLIGHT_PIXELS = 2**27
# As many threads for files in a distant place, where they wait most of the time.
MOST_THREADS = 16


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield what a function returns for each item, in order, while threads call it for later items.

    Items are taken up to twice the number of threads ahead. When the generator ends or is closed,
    no thread is left.
    """
    with ThreadPoolExecutor(threads, 'colorize') as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def overlap(
    items: Iterable[Item],
    load: Callable[[Item], Loaded],
    work: Callable[[list[Loaded]], Iterable[Result]],
    save: Callable[[Loaded, Result], Saved],
    batch_size: int,
    pixels: Callable[[Item], int],
    distant: bool = False,
) -> Generator[Future[Saved], None, None]:
    """Process one batch while threads load the next batch and save the previous one.

    The thread that consumes the results also consumes `items` and calls `work`. At most three
    batches are in memory, so items are taken up to three batches ahead of the current result. A
    batch of large images waits for the batches before it, so that no more than `FLIGHT_PIXELS`, or
    a single batch, are loaded.

    When the iterator ends, is closed or fails (also by Ctrl-C), running calls of `load` and `save`
    are completed and the others are dropped. No thread is left afterwards. Close the iterator if
    it is not exhausted.

    Args:
        items: the items, taken when they are needed.
        load: called for each item, from several threads at once.
        work: called with the loaded items of a batch; returns one result for each of them.
        save: called with a loaded item and its result, from several threads at once.
        batch_size: the largest number of items in a batch.
        pixels: returns the size of an item; a batch has at most `BATCH_PIXELS`, or one item.
        distant: whether `load` and `save` mostly wait, so that more threads than cores call them.

    Yields:
        A completed future for each item, in order. Its `result()` returns the value of `save`, or
        raises the error of the item. An error in `load` or `save` affects only that item, an error
        in `work` the whole batch. An error of `items` comes last, after the results of all items
        before it.
    """
    batches = _batches(items, batch_size, pixels)
    threads = MOST_THREADS if distant else min(MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, 'colorize', _use_one_core, (torch.get_num_threads(),))

    def start(batch: _Batch[Item]) -> list[Future[Loaded]]:
        if batch.error is not None:
            return [_failed(batch.error)]
        # Popped, so that nothing else refers to the items.
        return [pool.submit(load, batch.items.pop(0)) for _ in range(len(batch.items))]

    try:
        saving: deque[Future[Saved]] = deque()
        batch = next(batches, None)
        size_of_saving = 0
        loading = start(batch) if batch else []
        while batch is not None:
            size, following = batch.pixels, next(batches, None)
            size_ahead = following.pixels if following else 0
            if size_of_saving + size + size_ahead > FLIGHT_PIXELS:
                yield from _completed(saving)
            early = size + size_ahead <= FLIGHT_PIXELS
            ahead = start(following) if following and early else []
            saving_next = _work_and_save(loading, work, save, pool)
            loading = ahead  # releases the batch that was processed
            yield from _completed(saving)
            saving, size_of_saving = saving_next, size
            if following and not early:
                yield from _completed(saving)
                loading = start(following)
            batch = following
        yield from _completed(saving)
    finally:
        pool.shutdown(cancel_futures=True)


def _use_one_core(others: int) -> None:
    """Make PyTorch use a single core in this thread, because the network needs the others.

    `set_num_threads` also changes the default of new threads, so a new thread restores `others`.
    """
    torch.get_num_threads()  # the first call in a thread applies the default of new threads
    torch.set_num_threads(1)
    restore = threading.Thread(target=torch.set_num_threads, args=(others,))
    restore.start()
    restore.join()


@dataclass
class _Batch(Generic[Item]):
    """Items to load and their number of pixels, or the error that the iterable of items raised."""

    items: list[Item] = field(default_factory=list)
    pixels: int = 0
    error: Exception | None = None


def _batches(
    items: Iterable[Item], batch_size: int, pixels: Callable[[Item], int]
) -> Iterator[_Batch[Item]]:
    batch: _Batch[Item] = _Batch()
    error = None
    try:
        for item in items:
            size = pixels(item)
            if batch.items and batch.pixels + size > BATCH_PIXELS:
                yield batch
                batch = _Batch()
            batch.items.append(item)
            batch.pixels += size
            if len(batch.items) == batch_size:
                yield batch
                batch = _Batch()
    except Exception as failure:
        error = failure
    if batch.items:
        yield batch
    if error is not None:
        yield _Batch(error=error)


def _work_and_save(
    loading: list[Future[Loaded]],
    work: Callable[[list[Loaded]], Iterable[Result]],
    save: Callable[[Loaded, Result], Saved],
    pool: ThreadPoolExecutor,
) -> deque[Future[Saved]]:
    """Process a batch and start saving it; return one future per item."""
    loaded = [future.result() for future in loading if future.exception() is None]
    try:
        results = work(loaded) if loaded else []
        saving = [pool.submit(save, *pair) for pair in zip(loaded, results, strict=True)]
    except Exception as error:
        saving = [_failed(error)] * len(loaded)
    rest = iter(saving)
    errors = (future.exception() for future in loading)
    return deque(next(rest) if error is None else _failed(error) for error in errors)


def _completed(futures: deque[Future[Saved]]) -> Iterator[Future[Saved]]:
    while futures:
        futures[0].exception()  # waits
        yield futures.popleft()


def _failed(error: BaseException) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future
