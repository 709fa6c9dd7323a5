import gc
import itertools
import random
import threading
import time
import weakref

import pytest
import torch
from processes import PATIENCE

from dualattn_mm.apis import overlap as module
from dualattn_mm.apis.overlap import ahead, overlap


class Loaded:
    def __init__(self, item):
        self.item = item


def run(items, load=Loaded, work=None, save=None, batch_size=2, pixels=lambda _: 1, distant=False):
    """Run `overlap` with stages that pass the item on."""
    work = work or (lambda batch: [loaded.item for loaded in batch])
    save = save or (lambda loaded, result: result)
    return overlap(items, load, work, save, batch_size, pixels, distant)


def results(outcomes):
    return [outcome.exception() or outcome.result() for outcome in outcomes]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith('colorize')]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    assert threads() == []


def test_ahead_calls_later_items_meanwhile_in_order():
    started = [threading.Event() for _ in range(9)]

    def function(item):
        started[item].set()
        if item % 2 == 0:
            assert started[min(item + 1, 8)].wait(PATIENCE)
        return item

    assert list(ahead(function, range(9), threads=2)) == list(range(9))


def test_ahead_takes_few_items_and_ends_when_it_is_closed():
    taken = []
    found = ahead(str, (taken.append(item) or item for item in range(100)), threads=2)
    assert next(found) == '0'
    found.close()
    assert len(taken) == 5


def test_distant_items_are_loaded_at_once_on_any_number_of_cores(monkeypatch):
    monkeypatch.setattr(module.os, 'cpu_count', lambda: 1)
    together = threading.Barrier(8)

    def load(item):
        together.wait(PATIENCE)
        return Loaded(item)

    outcomes = run(range(8), load, batch_size=8, distant=True)
    assert results(outcomes) == list(range(8))


def test_loading_and_saving_go_on_while_the_network_works():
    loaded, saved = ([threading.Event() for _ in range(8)] for _ in range(2))
    seen = []

    def load(item):
        loaded[item].set()
        return Loaded(item)

    def work(batch):
        first = batch[0].item
        if first + 2 < 8:  # the next batch
            assert all(event.wait(PATIENCE) for event in loaded[first + 2 : first + 4])
        if first:  # the one before
            assert all(event.wait(PATIENCE) for event in saved[first - 2 : first])
        seen.append((first, threading.current_thread()))
        return [loaded.item for loaded in batch]

    def save(loaded, result):
        saved[result].set()
        return threading.current_thread()

    savers = results(run(range(8), load, work, save))
    here = threading.current_thread()
    assert seen == [(first, here) for first in (0, 2, 4, 6)]
    assert here not in savers


def test_pytorch_uses_one_core_in_the_threads_alone():
    def later():
        counts = []
        thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return counts[0]

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        stages = run(
            range(9),
            load=lambda item: Loaded(torch.get_num_threads()),
            work=lambda batch: [(loaded.item, torch.get_num_threads()) for loaded in batch],
            save=lambda _, result: (*result, torch.get_num_threads()),
        )
        assert results(stages) == [(1, 3, 1)] * 9
        assert later() == 3  # not before: a thread that starts says 1 to all for a moment
    finally:
        torch.set_num_threads(before)


def test_order_does_not_depend_on_which_item_is_first():
    rng = random.Random(0)
    naps = [rng.choice((0, 0.01)) for _ in range(60)]

    def load(item):
        time.sleep(naps[item])
        return Loaded(item)

    def save(_, result):
        time.sleep(naps[-result])
        return result

    assert results(run(range(30), load, save=save, batch_size=4)) == list(range(30))


def test_at_most_three_batches_are_held():
    alive, most, taken, begun = weakref.WeakSet(), 0, 0, 0
    change = threading.Condition()

    def load(item):
        nonlocal most, begun
        with change:
            alive.add(loaded := Loaded(item))
            most = max(most, len(alive))
            begun += 1
            change.notify()
        return loaded

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    def save(loaded, _):
        return loaded  # so that what is not asked for stays alive

    outcomes = run(endless(), load, save=save, batch_size=4)
    for given in range(40):
        item = next(outcomes).result().item
        assert item == given + 1
        assert taken - given <= 12
        with change:  # the threads are as far ahead as they may be
            assert change.wait_for(lambda: begun == taken, PATIENCE)
    outcomes.close()
    assert 8 < most <= 13  # 12 and the one in this loop's hands
    gc.collect()
    assert len(alive) == 0


def test_large_images_make_small_batches():
    batches = []

    def work(batch):
        batches.append([loaded.item for loaded in batch])
        return batches[-1]

    half = module.BATCH_PIXELS // 2
    sizes = [half, half, 1, 9 * half, 9 * half, 1, 1, 1, 1, 1]
    assert results(run(sizes, work=work, batch_size=4, pixels=lambda size: size)) == sizes
    assert batches == [[half, half], [1], [9 * half], [9 * half], [1, 1, 1, 1], [1]]


def fail_at(item_, error):
    def stage(argument, *_):
        item = getattr(argument, 'item', argument)
        if item == item_:
            raise error
        return Loaded(item) if argument is item else item

    return stage


@pytest.mark.parametrize('stage', ['load', 'save'])
@pytest.mark.parametrize('error', [ValueError('one'), KeyboardInterrupt()], ids=repr)
def test_an_item_that_fails(stage, error):
    outcomes = results(run(range(7), **{stage: fail_at(3, error)}))
    assert outcomes == [0, 1, 2, error, 4, 5, 6]


def test_a_batch_that_fails_in_the_network():
    error = ValueError('the batch')

    def work(batch):
        if batch[0].item == 2:
            raise error
        return [loaded.item for loaded in batch]

    broken = ValueError('the file')
    outcomes = results(run(range(7), fail_at(3, broken), work))
    assert outcomes == [0, 1, error, broken, 4, 5, 6]


def test_a_batch_of_nothing_does_not_reach_the_network():
    def load(item):
        raise ValueError

    outcomes = results(run(range(5), load, work=lambda _: pytest.fail('called')))
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 5


def test_items_that_fail():
    error = ValueError('no more')

    def items():
        yield from range(3)
        raise error

    assert results(run(items())) == [0, 1, 2, error]


def test_nothing():
    assert results(run([])) == []


@pytest.mark.parametrize('interrupt', [KeyboardInterrupt, SystemExit])
def test_interrupted_in_the_network(interrupt):
    def work(batch):
        raise interrupt

    with pytest.raises(interrupt):
        next(run(itertools.count(), work=work))


def test_closed_early(dropped):
    """Running calls are completed, and pending ones are dropped."""
    begun, go_on = threading.Event(), threading.Event()
    started, completed = [], []

    def save(_, result):
        if result < 2:
            return result
        started.append(result)
        begun.set()
        assert go_on.wait(PATIENCE)
        completed.append(result)
        return result

    outcomes = run(range(1000), save=save, batch_size=200)
    next(outcomes)
    assert begun.wait(PATIENCE)
    closing = threading.Thread(target=outcomes.close)
    closing.start()
    assert dropped.wait(PATIENCE)
    closing.join(0.05)
    assert closing.is_alive()  # waits for what has begun
    go_on.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert threads() == []
    assert sorted(completed) == sorted(started)
    assert len(completed) < 100


def test_dropped_without_being_closed():
    outcomes = run(itertools.count())
    next(outcomes)
    assert threads() != []
    del outcomes
    assert threads() == []


@pytest.mark.parametrize(
    'sizes',
    [
        [0.9] * 5,
        [0.4] * 7,
        [0.3, 0.9, 0.1, 0.1, 3.0, 0.2, 0.6, 0.6],
        [0.05] * 20,
    ],
    ids=str,
)
@pytest.mark.parametrize('batch_size', [1, 2])
def test_images_in_flight_stay_within_the_limit(sizes, batch_size):
    lock, now, most = threading.Lock(), [], []

    def load(item):
        with lock:
            now.append(item)
            most.append(list(now))
        return Loaded(item)

    def save(loaded, result):
        time.sleep(0.002)
        with lock:
            now.remove(result)
        return result

    items = [(i, int(size * module.FLIGHT_PIXELS)) for i, size in enumerate(sizes)]
    outcomes = run(items, load, save=save, batch_size=batch_size, pixels=lambda item: item[1])
    assert results(outcomes) == items
    for flight in most:
        assert len(flight) == 1 or sum(size for _, size in flight) <= module.FLIGHT_PIXELS
    if max(sizes) < 0.1:
        assert max(map(len, most)) > batch_size  # small ones still overlap
