"""Figures, tables, the JSON file and plots from given samples."""

import io
import json
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from projects.benchmark import plots
from projects.benchmark.measure import Measurement, Results
from projects.benchmark.peers import Case
from projects.benchmark.report import (
    as_json,
    memory_per_pixel,
    quartiles,
    ratio,
    setting_table,
    sweep,
    sweep_table,
    time_per_pixel,
)


@pytest.fixture
def measurement(setting):
    def make(network, seconds, case=setting.case, peak=2**20, macs=3 * 10**9):
        return Measurement(
            network=network,
            against='ours',
            setting=replace(setting, case=case),
            parameters=27_000_000,
            macs=macs,
            first_call=1.5,
            peak_memory=peak,
            calls=1,
            seconds=seconds,
        )

    return make


def printed(table, width=110):
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f'│ {name} ')]
    return [cell.strip() for cell in line.strip('│').split('│')]


def test_ratio_is_taken_within_each_round():
    ours = [1.0, 2.0, 4.0]  # the machine slowed down, for both alike
    assert ratio([2.0, 4.0, 8.0], ours) == 2
    assert ratio([1.0, 6.0, 8.0], ours) == 2  # 1, 3, 2
    assert ratio([3.0, 1.0], [1.0, 1.0]) == 2  # between the two


def test_quartiles():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2, 3, 4)
    assert quartiles([7.0]) == (7, 7, 7)


def test_setting_table(measurement):
    samples = [
        measurement('ours', [1.0, 2.0, 3.0]),
        measurement('peer', [3.0, 3.0, 9.0], macs=None),
    ]
    text = printed(setting_table(samples), width=100)
    assert str(samples[0].setting) in text
    # batch 2: 1 s per image at the median
    assert row(text, 'ours') == ['ours', '27.0', '3.00', '1000', '750 .. 1250', '1.00', '1.00', '1']
    assert row(text, 'peer')[2:] == ['-', '1500', '1500 .. 3000', '0.667', '3.00', '1']


def test_no_ratio_without_ours(measurement):
    assert row(printed(setting_table([measurement('peer', [1.0])])), 'peer')[6] == '-'


def test_compilation_has_a_column(measurement, setting):
    m = measurement('ours', [1.0])
    m.setting = replace(setting, execution='compile')
    assert row(printed(setting_table([m])), 'ours')[-1] == '1.5'


@pytest.fixture
def swept(measurement):
    """Time per pixel is constant for ours and grows as the area for the peer."""
    return [
        measurement('ours', [2.0 * 400], Case.square(20), peak=2 * 400 * 10),
        measurement('ours', [2.0 * 100], Case.square(10), peak=2 * 100 * 20),
        measurement('peer', [2.0 * 100], Case.square(10)),
        measurement('peer', [2.0 * 1600], Case.square(20)),
    ]


def test_cost_per_pixel(swept, setting):
    assert time_per_pixel(swept[0]) == pytest.approx(1e9)  # 1 s per pixel in ms per 10^6
    assert memory_per_pixel(swept[0]) == 10
    by_network = sweep(swept, setting)
    assert [m.setting.case.height for m in by_network['ours']] == [10, 20]
    text = printed(sweep_table(by_network, setting))
    assert row(text, 'ours')[1:] == ['ms/MP', '1000000000 (1.00)', '1000000000 (1.00)']
    assert row(text, 'peer')[-1] == '4000000000 (4.00)'
    assert '10 (0.50)' in text


def test_point_that_is_missing(swept, setting):
    text = printed(sweep_table(sweep(swept[:3], setting), setting))
    assert row(text, 'peer')[-1] == '-'


def test_no_sweep_without_two_sizes_of_one_setting(swept, setting):
    assert sweep(swept[1:3], setting) == {}
    assert sweep(swept, replace(setting, dtype='bfloat16')) == {}


def test_json_holds_every_sample(swept):
    left_out = [{'network': 'bad', 'setting': 's', 'reason': 'too large'}]
    read = json.loads(as_json(Results(swept, left_out), {'task': 'backbone'}))
    assert read['task'] == 'backbone'
    assert read['left_out'] == left_out
    assert [m['seconds'] for m in read['measurements']] == [m.seconds for m in swept]
    setting = read['measurements'][0]['setting']
    assert setting['case']['height'] == 20
    assert (setting['dtype'], setting['batch_size']) == ('float32', 2)


@pytest.mark.parametrize('networks', [1, 15])
def test_plots_are_pictures(swept, setting, networks):
    samples = [replace(m, network=f'{m.network}{i}') for m in swept for i in range(networks)]
    for data in (
        plots.throughput(samples, 'title'),
        plots.cost_against_size(sweep(samples, setting), 'title'),
    ):
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.format == 'PNG'
        assert min(image.size) > 100
