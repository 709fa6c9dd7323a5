"""Compile many networks in parallel, so that a measurement finds their kernels in the cache.

Compiling a network takes a minute, mostly of one core. The processes share inductor's cache.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from dualattn_mm.utils.errors import first_line

from .measure import forget_networks
from .peers import NETWORKS
from .step import Setting, Step, tf32

_THREADS = 'TORCHINDUCTOR_COMPILE_THREADS'
CORES_PER_PROCESS = 2


@dataclass(frozen=True)
class Job:
    """One network to compile.

    Args:
        task: key of NETWORKS.
        network: key of NETWORKS[task].
        setting: how to run it.
        device: the device, 'cuda' or 'cpu'.
        backend: the backend of torch.compile.
    """

    task: str
    network: str
    setting: Setting
    device: str
    backend: str

    def run(self) -> tuple['Job', float, str]:
        """Compile and call the network once; return this job, the seconds and what failed."""
        device = torch.device(self.device)
        start = time.perf_counter()
        failure = ''
        try:
            with tf32(self.setting.dtype == 'tf32'):
                Step(NETWORKS[self.task][self.network], self.setting, device, self.backend)()
                if device.type == 'cuda':
                    torch.cuda.synchronize(device)
        except Exception as error:  # the measurement reports it
            failure = first_line(error)
        forget_networks(device)
        return self, time.perf_counter() - start, failure


def precompile(
    jobs: list[Job], workers: int, deadline: float, say: Callable[[str], None]
) -> Iterator[tuple[Job, float, str]]:
    """Run jobs in parallel processes until the deadline, in the order in which they end.

    Args:
        jobs: the networks to compile, the most important ones first.
        workers: the number of processes; 0 runs the jobs in this process.
        deadline: the time.monotonic() at which the processes are ended.
        say: called with one line if they are.

    Yields:
        What `Job.run` returns.
    """
    if not workers:
        yield from (job.run() for job in jobs)
        return
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = str(CORES_PER_PROCESS)
    try:
        # CUDA cannot be used after a fork.
        pool = multiprocessing.get_context('spawn').Pool(workers)
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
    with pool:  # ends the processes
        done = pool.imap_unordered(Job.run, jobs)
        for left in range(len(jobs), 0, -1):
            try:
                yield done.next(timeout=max(deadline - time.monotonic(), 0))
            except multiprocessing.TimeoutError:
                say(f'compiling in parallel: the time was over with {left} of {len(jobs)} left')
                return
