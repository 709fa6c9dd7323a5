"""Run batches of work on the machines of a Ray cluster, also if some of them die."""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

from .errors import UserError, first_line
from .libraries import library
from .terminal import warn

Item = TypeVar('Item')

LOCAL = 'local'  # the address that stands for a new Ray on this machine
_ATTEMPTS = 3  # how often the workers of a batch may die before its items are tried one by one
_FAILED_STARTS = 8  # how many workers in a row may die before their first batch
_CORES = 4  # of a worker without a GPU
# Bytes for large objects, of which there are none; Ray would reserve 30% of the memory.
_STORE = 2**27


@contextlib.contextmanager
def ray_cluster(address: str) -> Generator[None, None, None]:
    """Connect to a Ray cluster without its dashboard and usage statistics.

    Args:
        address: the address of the head node, or 'local'.

    Raises:
        UserError: if Ray is not installed or does not start, or there is no cluster at the address.
    """
    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
    ray = library('ray', '--ray', "'dualattn_mm[ray]'")
    started = not ray.is_initialized()
    if started:
        new: dict[str, Any] = dict(object_store_memory=_STORE) if address == LOCAL else {}
        quiet = dict(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            ray.init(address, **quiet, **new)
        except Exception as error:  # Ray raises just that
            local = 'Ray does not start on this machine'
            problem = local if address == LOCAL else f'no Ray cluster at {address}'
            raise UserError(f'{problem}: {first_line(error)}') from None
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def worker_options(use_gpus: bool = True) -> list[dict[str, int]]:
    """Return the resources of each worker: one per GPU, or one per four CPU cores of a machine.

    A worker with a GPU sees no other one, so that its device is always 'cuda'.

    Args:
        use_gpus: whether the workers use GPUs, where there are some.

    Raises:
        UserError: if the cluster has no CPU cores.
    """
    import ray

    options = []
    for node in ray.nodes():
        cores, gpus = (int(node['Resources'].get(name, 0)) for name in ('CPU', 'GPU'))
        if node['Alive'] and cores:
            gpus *= use_gpus
            count = gpus or max(1, cores // _CORES)
            options += [dict(num_cpus=cores // count, num_gpus=int(gpus > 0))] * count
    if not options:
        raise UserError('the Ray cluster has no CPU cores: start a node with some')
    return options


def run_batches(
    worker: type, arguments: tuple, batches: Iterable[list[Item]], options: list[dict[str, int]]
) -> Generator[tuple[list[Item], Any], None, None]:
    """Run batches of items on the workers, in any order.

    If a worker dies, another one repeats its batch. If that happens several times, the items are
    run one by one, because one of them may be the cause.

    Args:
        worker: a class with a method `run`, which takes a batch and can be repeated.
        arguments: those of the constructor, which is called in each worker.
        batches: the batches, taken when a worker is free.
        options: the `worker_options`.

    Yields:
        Each batch with what `run` returned, or None for a single item whose workers died.

    Raises:
        Exception: what the constructor or `run` raised.
        UserError: if no worker starts.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote: Any = ray.remote(worker)
    actors: dict[Any, dict[str, int]] = {}
    idle: list[Any] = []
    running: dict[Any, tuple[Any, tuple[list[Item], int] | None]] = {}
    repeated: deque[tuple[list[Item], int]] = deque()
    fresh = ((batch, 0) for batch in batches)
    failed_starts = 0

    def start(resources: dict[str, int]) -> None:
        actor = remote.options(**resources).remote(*arguments)
        actors[actor] = resources
        running[actor.__ray_ready__.remote()] = actor, None

    try:
        for resources in options:
            start(resources)
        while True:
            while idle and (work := repeated.popleft() if repeated else next(fresh, None)):
                actor = idle.pop()
                running[actor.run.remote(work[0])] = actor, work
            if idle and all(work is None for _, work in running.values()):
                return
            (ref,), _ = ray.wait(list(running))
            actor, work = running.pop(ref)
            try:
                result = ray.get(ref)
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:
                start(actors.pop(actor))
                ray.kill(actor)
                if work is None:
                    failed_starts += 1
                    if failed_starts > _FAILED_STARTS:
                        raise UserError(f'the Ray workers crash when they start: {error}') from None
                    continue
                batch, died = work[0], work[1] + 1
                if died >= _ATTEMPTS and len(batch) == 1:
                    yield batch, None
                    continue
                warn(f'a worker died; its {len(batch)} files are run again')
                if died < _ATTEMPTS:
                    repeated.append((batch, died))
                else:
                    repeated.extend(([item], 1) for item in batch)
                continue
            idle.append(actor)
            if work is not None:
                failed_starts = 0
                yield work[0], result
    finally:
        for actor in actors:
            ray.kill(actor)
