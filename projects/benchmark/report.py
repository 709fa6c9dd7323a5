"""Make the tables for the terminal and the JSON file."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from .measure import Measurement, Results
from .step import Setting

MIB = 2**20


def ratios(samples: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles over the rounds of the time ratio of two networks in the same round."""
    return quartiles([a / b for a, b in zip(samples, reference, strict=True)])


def ratio(samples: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over the rounds of the time ratio of two networks in the same round."""
    return ratios(samples, reference)[1]


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile."""
    if len(samples) == 1:
        return (samples[0],) * 3
    return tuple(statistics.quantiles(samples, n=4, method='inclusive'))


def setting_table(measurements: Sequence[Measurement]) -> Table:
    """Make a table of the networks that were measured with one setting."""
    setting = measurements[0].setting
    compiled = setting.execution == 'compile'
    table = Table(title=str(setting), title_justify='left', title_style='bold')
    table.add_column('network', no_wrap=True)
    names = ['M param', 'GMAC', 'ms/image', 'quartiles', 'images/s', 'x ours', 'peak MiB']
    for name in names + ['first call s'] * compiled:
        table.add_column(name, justify='right', no_wrap=True)
    times = {m.network: m.seconds for m in measurements}
    for m in measurements:
        low, middle, high = (1000 * q / setting.batch_size for q in quartiles(m.seconds))
        table.add_row(
            m.network,
            f'{m.parameters / 1e6:.1f}',
            '-' if m.macs is None else f'{m.macs / 1e9:.2f}',
            _short(middle),
            f'{_short(low)} .. {_short(high)}',
            _short(1000 / middle),
            f'{ratio(m.seconds, times[m.against]):.2f}' if m.against in times else '-',
            f'{m.peak_memory / MIB:.0f}',
            *[f'{m.first_call:.1f}'] * compiled,
        )
    return table


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + '\n'


def measurements_table(measurements: Sequence[Measurement]) -> str:
    """Make a Markdown table of measurements with any settings, one row per measurement."""
    times = {(m.setting, m.network): m.seconds for m in measurements}
    head = ('input', 'run', 'network', 'ms per call', 'images/s', 'x ours', 'peak MiB', 'first s')
    rows = []
    for m in measurements:
        s = m.setting
        low, middle, high = (_short(1000 * q) for q in quartiles(m.seconds))
        ours = times.get((s, m.against)) if m.network != m.against else None
        rows.append(
            (
                f'{s.batch_size} x {s.case.name}',
                f'{s.mode}, {s.dtype}, {s.execution}, {s.layout}',
                m.network,
                f'{middle} ({low} to {high})',
                _short(s.batch_size / statistics.median(m.seconds)),
                '{1:.2f} ({0:.2f} to {2:.2f})'.format(*ratios(m.seconds, ours)) if ours else '',
                f'{m.peak_memory / MIB:.0f}',
                f'{m.first_call:.1f}',
            )
        )
    return markdown_table(head, rows)


def _short(value: float) -> str:
    """Format with three significant digits and without an exponent."""
    return f'{value:.0f}' if value >= 100 else f'{value:#.3g}'


def sweep(measurements: Sequence[Measurement], setting: Setting) -> dict[str, list[Measurement]]:
    """Return the measurements of each network with `setting` at all image sizes, sorted by size.

    The result is empty unless there are at least two sizes.
    """
    alike = [
        m for m in measurements if dataclasses.replace(m.setting, case=setting.case) == setting
    ]
    alike.sort(key=_pixels)
    if len({m.setting.case for m in alike}) < 2:
        return {}
    by_network: dict[str, list[Measurement]] = {}
    for m in alike:
        by_network.setdefault(m.network, []).append(m)
    return by_network


def _pixels(m: Measurement) -> int:
    return m.setting.case.pixels


def time_per_pixel(m: Measurement) -> float:
    """Return the median time in milliseconds per million pixels."""
    return 1e9 * statistics.median(m.seconds) / (m.setting.batch_size * _pixels(m))


def memory_per_pixel(m: Measurement) -> float:
    """Return the peak memory in bytes per pixel."""
    return m.peak_memory / (m.setting.batch_size * _pixels(m))


def sweep_table(by_network: dict[str, list[Measurement]], setting: Setting) -> Table:
    """Make a table of the cost per pixel at each size, and its ratio to the first size."""
    how = str(setting).removeprefix(f'{setting.case.name}, ')
    cases = sorted(
        {m.setting.case for ms in by_network.values() for m in ms}, key=lambda case: case.pixels
    )
    table = Table(
        title=f'cost per pixel (x that of the first size): {how}',
        title_justify='left',
        title_style='bold',
    )
    table.add_column('network', no_wrap=True)
    table.add_column('', no_wrap=True)
    for case in cases:
        table.add_column(case.name, justify='right', no_wrap=True)
    costs = {'ms/MP': time_per_pixel, 'B/px': memory_per_pixel}
    for name, ms in by_network.items():
        for unit, cost in costs.items():
            cells = {m.setting.case: f'{cost(m):.0f} ({cost(m) / cost(ms[0]):.2f})' for m in ms}
            first = name if unit == 'ms/MP' else ''
            table.add_row(first, unit, *(cells.get(case, '-') for case in cases))
    return table


def as_json(results: Results, about: dict[str, Any]) -> str:
    """Return all raw samples and the description of the run (`about`) as JSON."""
    return json.dumps({**about, **dataclasses.asdict(results)}, indent=1)
