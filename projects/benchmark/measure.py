"""Measure networks alternately, in several rounds, with one setting at a time."""

import contextlib
import gc
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn, TypeVar

import torch

from dualattn_mm.utils.errors import first_line

from .memory import peak_memory
from .peers import Network
from .step import Setting, Step, count_macs, seconds_per_call, tf32

T = TypeVar('T')
_AGAIN = 5.0  # seconds
_SCARCE = 0.5  # of the memory of the GPU


@dataclass
class Measurement:
    """The measurement of one network with one setting.

    Attributes:
        network, against: names of the network and of our network that it is compared with.
        setting: how it was run.
        parameters: number of parameters.
        macs: multiply-accumulates of the forward pass for one image; None if they are unknown.
        first_call: seconds of the first call, including compilation and all other preparation.
        peak_memory: bytes, see `peak_memory`.
        calls: number of consecutive calls in a sample.
        seconds: the samples, one per round, in seconds per call.
    """

    network: str
    against: str
    setting: Setting
    parameters: int
    macs: int | None
    first_call: float
    peak_memory: int
    calls: int
    seconds: list[float] = field(default_factory=list)


@dataclass
class Results:
    """The measurements of a run so far, and the networks that could not be measured."""

    measurements: list[Measurement] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    Args:
        repeats: number of rounds, which is also the number of samples per network.
        warmup: number of calls after the first one and before the first round.
        min_seconds: length of a sample; short calls are repeated to fill it.
        count: whether to count the multiply-accumulates, which takes a second per network.
        memory: whether to measure the peak memory, which takes seconds on a CPU; otherwise it is 0.
        backend: the backend of torch.compile.
        deadline: the time.monotonic() at which to stop; complete rounds are kept.
    """

    repeats: int
    warmup: int
    min_seconds: float
    count: bool = True
    memory: bool = True
    backend: str = 'inductor'
    deadline: float = math.inf


@contextlib.contextmanager
def time_limit(deadline: float) -> Iterator[None]:
    """Raise TimeoutError in the block at `deadline`, a value of time.monotonic().

    Use it in the main thread. A long call into a library ends first.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError('the time of this section was over')

    if deadline == math.inf:
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    try:
        # Again and again, because Python drops an error that is raised in a destructor.
        signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-6), _AGAIN)
        yield
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def turns(items: Sequence[T], repeats: int) -> list[list[T]]:
    """Return the order of every round, rotated by one each time so that no item is always first."""
    starts = (i % len(items) for i in range(repeats if items else 0))
    return [[*items[start:], *items[:start]] for start in starts]


def measure(
    networks: Sequence[Network],
    setting: Setting,
    effort: Effort,
    device: torch.device,
    results: Results,
    say: Callable[[str], None],
) -> list[Measurement]:
    """Measure networks side by side.

    Args:
        networks: the networks to measure; a network that fails is skipped.
        setting: how to run them.
        effort: how thoroughly to measure.
        device: the device.
        results: receives the measurements after each complete round, so that none are lost if the
            next round is interrupted, and the names of skipped networks.
        say: called with one line for each skipped network and the reason.

    Returns:
        The measurements with this setting.
    """

    def attempt(network: Network, function: Callable[..., T], *arguments: object) -> T | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # other packages warn about their own code
                return function(*arguments)
        except Exception as error:  # networks of other packages can fail in any way
            reason = first_line(error)
            results.left_out.append(
                {'network': network.name, 'setting': str(setting), 'reason': reason}
            )
            say(f'skipping {network.name} ({setting}): {reason}')
            return None

    forget_networks(device)
    with tf32(setting.dtype == 'tf32'):
        running: list[tuple[Network, Measurement, Step]] = []
        for network in networks:
            ready = attempt(network, _prepare, network, setting, effort, device)
            if ready:
                running.append((network, *ready))
        failed: list[Network] = []
        mine: list[Measurement] = []
        names = [network.name for network, *_ in running]
        others = [m for m in results.measurements if m.setting != setting or m.network not in names]
        for order in turns(running, effort.repeats):
            if mine and time.monotonic() > effort.deadline:
                break
            samples = {}
            for network, measurement, step in order:
                if network in failed:
                    continue
                sample = attempt(network, _sample, step, measurement.calls, device)
                if sample is None:
                    failed.append(network)
                else:
                    samples[network.name] = sample
            mine = [m for network, m, _ in running if network not in failed]
            for measurement in mine:
                measurement.seconds.append(samples[measurement.network])
            results.measurements[:] = others + mine
        return mine


def forget_networks(device: torch.device) -> None:
    """Free the memory and the compiled code of earlier networks."""
    torch.compiler.reset()  # otherwise torch stops compiling after a number of networks
    if device.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()  # what it holds is fragmented


def _sample(step: Step, calls: int, device: torch.device) -> float:
    """Return the mean time of some calls."""
    if device.type == 'cuda':
        total = torch.cuda.get_device_properties(device).total_memory
        if torch.cuda.memory_reserved(device) > _SCARCE * total:
            # Otherwise torch would do this within the sample, for the memory of other networks.
            torch.cuda.empty_cache()
            step()
    return seconds_per_call(step, calls, device)


def _prepare(
    network: Network, setting: Setting, effort: Effort, device: torch.device
) -> tuple[Measurement, Step]:
    """Build a network, warm it up and measure everything except the time."""
    with time_limit(effort.deadline):
        step = Step(network, setting, device, effort.backend)
        start = time.perf_counter()
        duration = seconds_per_call(step, 1, device)
        first_call = time.perf_counter() - start
        for _ in range(effort.warmup):
            duration = seconds_per_call(step, 1, device)
        peak = peak_memory(step.run, device) if effort.memory else 0
    measurement = Measurement(
        network=network.name,
        against=network.against,
        setting=setting,
        parameters=step.parameters,
        macs=count_macs(network, setting.case) if effort.count else None,
        first_call=first_call,
        peak_memory=peak,
        calls=max(1, math.ceil(effort.min_seconds / duration)),
    )
    return measurement, step
