"""Order, samples and failures of measurements, with networks of one convolution."""

import timeit
from functools import partial

import pytest

from projects.benchmark.measure import Effort, Results, measure, turns

EFFORT = Effort(repeats=3, warmup=1, min_seconds=0)
PREPARING = 4  # calls before the rounds: the first, a warm-up, two for the memory


def test_every_round_starts_one_further():
    assert turns('abc', 4) == [list('abc'), list('bca'), list('cab'), list('abc')]
    assert turns('', 4) == []


def test_networks_take_turns(tiny, setting, cpu):
    calls = []
    networks = [tiny(name, calls) for name in ('ours', 'b', 'c')]
    results = Results()
    measured = measure(networks, setting, EFFORT, cpu, results, print)
    assert ''.join(calls[: 3 * PREPARING]) == 'ours' * PREPARING + 'b' * PREPARING + 'c' * PREPARING
    assert calls[3 * PREPARING :] == ['ours', 'b', 'c', 'b', 'c', 'ours', 'c', 'ours', 'b']
    assert measured == results.measurements
    for m in measured:
        assert len(m.seconds) == 3
        assert all(seconds > 0 for seconds in m.seconds)
        assert (m.parameters, m.macs, m.calls) == (3 * 2 + 2, 4 * 4 * 3 * 2, 1)


def test_short_calls_are_repeated_to_fill_a_sample(tiny, setting, cpu, monkeypatch):
    calls = []
    # By this clock, each call takes 3 ms.
    timed = partial(timeit.timeit, timer=lambda: 0.003 * len(calls))
    monkeypatch.setattr('timeit.timeit', timed)
    effort = Effort(repeats=2, warmup=1, min_seconds=0.02)
    (m,) = measure([tiny('ours', calls)], setting, effort, cpu, Results(), print)
    assert m.calls == 7
    assert len(calls) == PREPARING + 2 * m.calls


@pytest.mark.parametrize('fails_at', [1, PREPARING, PREPARING + 2])
def test_failing_network_is_reported_and_skipped(tiny, setting, cpu, fails_at):
    """It fails at the first call, in the measurement of memory or in the second round."""
    error = RuntimeError('out of memory\nand a long story')
    networks = [tiny('ours'), tiny('bad', fails_at=fails_at, error=error), tiny('c')]
    results, said = Results(), []
    measured = measure(networks, setting, EFFORT, cpu, results, said.append)
    assert [m.network for m in measured] == ['ours', 'c']
    assert [len(m.seconds) for m in measured] == [3, 3]
    assert results.measurements == measured
    assert said == [f'skipping bad ({setting}): out of memory']
    assert results.left_out == [
        {'network': 'bad', 'setting': str(setting), 'reason': 'out of memory'}
    ]


def test_all_networks_fail(tiny, setting, cpu):
    networks = [tiny('ours', fails_at=1, error=ValueError('no'))]
    results = Results()
    assert measure(networks, setting, EFFORT, cpu, results, print) == []
    assert results.measurements == []


def test_interruption_keeps_complete_rounds(tiny, setting, cpu):
    stop = tiny('stop', fails_at=PREPARING + 3, error=KeyboardInterrupt())
    results = Results()
    with pytest.raises(KeyboardInterrupt):
        measure([tiny('ours'), stop], setting, EFFORT, cpu, results, print)
    assert [len(m.seconds) for m in results.measurements] == [2, 2]
