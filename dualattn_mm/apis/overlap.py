"""The overlap of reading, network and writing."""

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

# A batch of larger images in all has fewer of them (one at least), which bounds the memory.
BATCH_PIXELS = 2**25
# Of all images that are loaded, worked on and saved at once: about 2 GB. A larger image is alone.
FLIGHT_PIXELS = 2**27
_MOST_WORKERS = 16


def overlap(
    items: Iterable[Item],
    load: Callable[[Item], Loaded],
    work: Callable[[list[Loaded]], Iterable[Result]],
    save: Callable[[Loaded, Result], Saved],
    batch_size: int,
    pixels: Callable[[Item], int],
) -> Generator[Future[Saved], None, None]:
    """Work on a batch while threads load the next one and save the one before.

    `items` is consumed and `work` called in the thread that consumes the results. No more than
    three batches are held: items are taken up to three batches ahead of the outcome that is given.
    Batches of large images wait for those before them, so that never more than `FLIGHT_PIXELS` are
    loaded, or one batch.
    When the iterator ends, is closed or fails (Ctrl-C too), `load` and `save` calls that have begun
    are completed, the others dropped; afterwards no thread is left. Close it if it is not used up.

    Args:
        items: taken as they are needed.
        load: called for each item, from several threads at once.
        work: called with what `load` gave for a batch; one result for each.
        save: called with what `load` and `work` gave, from several threads at once.
        batch_size: the most items in a batch.
        pixels: the size of an item; a batch has `BATCH_PIXELS` at most, or one item.

    Yields:
        For each item in turn what became of it, a completed future: its `result()` is that of
        `save`, or raises what stopped the item. An error of `load` or `save` stops that item, one
        of `work` its batch. An error of `items` is the last outcome, after those of all before.
    """
    batches = _batches(items, batch_size, pixels)
    pool = ThreadPoolExecutor(
        min(_MOST_WORKERS, os.cpu_count() or 1),
        'colorize',
        _use_one_core,
        (torch.get_num_threads(),),
    )

    def start(batch: _Batch[Item]) -> list[Future[Loaded]]:
        if batch.error is not None:
            return [_failed(batch.error)]
        # popped, so that nothing else keeps the items
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
            loading = ahead  # lets go of what was worked on
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
    """Keep PyTorch from spreading this thread's operations over the cores, which the network needs.

    That also is for threads yet to come; one of them puts it back to `others`.
    """
    torch.get_num_threads()  # the first call in a thread sets it to what is there for new ones
    torch.set_num_threads(1)
    restore = threading.Thread(target=torch.set_num_threads, args=(others,))
    restore.start()
    restore.join()


@dataclass
class _Batch(Generic[Item]):
    """Items to load, and how many pixels they have; or the error of the iterable of items."""

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
    """The outcome of each item of a batch, `save` still under way."""
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
