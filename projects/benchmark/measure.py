"""The measurement itself: networks take turns, round after round, under one setting at a time."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from dualattn_mm.utils.errors import first_line

from .memory import peak_memory
from .peers import Network
from .step import Setting, Step, count_macs, seconds_per_call

T = TypeVar('T')


@dataclass
class Measurement:
    """One network under one setting.

    Attributes:
        network, against: names of the network and of that of ours which it is compared with.
        setting: how it was run.
        parameters: how many it has.
        macs: multiply-accumulates of the forward pass for one image; None where not countable.
        first_call: seconds of the very first call: compilation and all other preparation.
        peak_memory: bytes, see `peak_memory`.
        calls: calls in a row that make one sample.
        seconds: the samples, one per round: seconds per call.
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
    """All that a run has measured so far, and what it could not measure."""

    measurements: list[Measurement] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    Args:
        repeats: rounds, and so samples of each network.
        warmup: calls before the first round, at least one.
        min_seconds: length of a sample; short calls are repeated to fill it.
    """

    repeats: int
    warmup: int
    min_seconds: float


def turns(items: Sequence[T], repeats: int) -> list[list[T]]:
    """The order of every round: each round starts one further, so that nobody is always first."""
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
        networks: what to measure; who fails is left out, and the others go on.
        setting: how to run them.
        effort: how thoroughly.
        device: where.
        results: gets the measurements after each whole round, so that none is lost if the next is
            interrupted, and who was left out.
        say: is told, in a line, who was left out and why.

    Returns:
        The measurements under this setting.
    """

    def attempt(network: Network, function: Callable[..., T], *arguments: object) -> T | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of foreign packages, about their own insides
                return function(*arguments)
        except Exception as error:  # foreign networks may fail in any way
            reason = first_line(error)
            results.left_out.append(
                {'network': network.name, 'setting': str(setting), 'reason': reason}
            )
            say(f'{network.name} left out ({setting}): {reason}')
            return None

    torch.compiler.reset()  # else what is compiled piles up until torch compiles no more
    if device.type == 'cuda':
        torch.cuda.empty_cache()  # of the networks before, which leave it in pieces
    running: list[tuple[Network, Measurement, Step]] = []
    for network in networks:
        ready = attempt(network, _prepare, network, setting, effort, device)
        if ready:
            running.append((network, *ready))
    failed: list[Network] = []
    mine: list[Measurement] = []
    for order in turns(running, effort.repeats):
        samples = {}
        for network, measurement, step in order:
            if network in failed:
                continue
            sample = attempt(network, seconds_per_call, step, measurement.calls, device)
            if sample is None:
                failed.append(network)
            else:
                samples[network.name] = sample
        mine = [m for network, m, _ in running if network not in failed]
        for measurement in mine:
            measurement.seconds.append(samples[measurement.network])
        others = [m for m in results.measurements if m.setting != setting]
        results.measurements[:] = others + mine
    return mine


def _prepare(
    network: Network, setting: Setting, effort: Effort, device: torch.device
) -> tuple[Measurement, Step]:
    """Build, warm up, and measure everything but the time."""
    step = Step(network, setting, device)
    start = time.perf_counter()
    duration = seconds_per_call(step, 1, device)
    first_call = time.perf_counter() - start
    for _ in range(effort.warmup):
        duration = seconds_per_call(step, 1, device)
    measurement = Measurement(
        network=network.name,
        against=network.against,
        setting=setting,
        parameters=step.parameters,
        macs=count_macs(network, setting.case),
        first_call=first_call,
        peak_memory=peak_memory(step, device),
        calls=max(1, math.ceil(effort.min_seconds / duration)),
    )
    return measurement, step
