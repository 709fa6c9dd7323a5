"""Which figures of which JSON files are a row's."""

import json
import os

import pytest

from dualattn_mm.reproduction.results import Results
from dualattn_mm.reproduction.tables import Evaluation, Metric
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.report import write_json

TEST = Evaluation('configs/mmagic/test_x.py', {'model.generator.num_queries': 150}, 100)
OPTIONS = {'model.generator.encoder.order': ['fca', 'sda']}
GIVEN = {
    'model.generator.encoder.order': ('fca', 'sda'),
    'model.generator.num_queries': 150,
    'test_dataloader.dataset.data_root': 'elsewhere',
}
FID = Metric('result', 'FID')


@pytest.fixture
def save(tmp_path):
    """Write a JSON file as tools/test.py does, by default of the row that the tests ask for."""

    def save_(name='a.json', config='/root/configs/mmagic/test_x.py', time=0, **content):
        about = dict(config=config, cfg_options=GIVEN, checkpoint='x', images=100)
        path = tmp_path / 'work_dirs' / name
        write_json(path, {**about, 'metrics': dict(FID=4.0), **content})
        os.utime(path, (time, time))
        return Results(tmp_path / 'work_dirs').of_test(FID, TEST, OPTIONS)

    return save_


def test_found_by_config_and_options(save, tmp_path):
    found = save('deep/er/any.json')
    assert found.value == 4
    assert found.source == str(tmp_path / 'work_dirs' / 'deep' / 'er' / 'any.json')


def test_nested_options_are_the_same(save):
    nested = dict(model=dict(generator=dict(num_queries=150, encoder=dict(order=['fca', 'sda']))))
    assert save(cfg_options=nested).value == 4


@pytest.mark.parametrize(
    'content',
    [
        dict(config='configs/mmagic/test_y.py'),
        dict(config='configs/mmdet/test_x.py'),
        dict(cfg_options={}),
        dict(cfg_options={**GIVEN, 'model.generator.num_queries': 64}),
        dict(cfg_options={**GIVEN, 'model.generator.head.num_layers': 1}),
        dict(metrics=dict(PSNR=4.0)),
        dict(metrics=dict(FID=float('nan'))),
    ],
    ids=str,
)
def test_of_another_row(save, content):
    found = save(**content)
    assert found.value is None
    assert found.instead is None


def test_of_other_images(save):
    found = save(images=7)
    assert found.value is None
    assert 'a.json is of 7 images, not of 100' in found.instead


def test_the_newest_counts(save):
    save('a.json', time=200, metrics=dict(FID=1.0))
    assert save('b.json', time=100, metrics=dict(FID=2.0)).value == 1
    assert save('c.json', time=300, metrics=dict(FID=3.0)).value == 3


def test_mean_and_factor(save, tmp_path):
    save(metrics={'a': 0.1, 'b': 0.3, 'c': 0.5})
    metric = Metric('result', ('a', 'b'), 100)
    found = Results(tmp_path / 'work_dirs').of_test(metric, TEST, OPTIONS)
    assert found.value == pytest.approx(20)


def test_other_files_are_passed_over(save, tmp_path):
    folder = tmp_path / 'work_dirs'
    folder.mkdir()
    (folder / 'scalars.json').write_text('{"loss": 1}\n{"loss": 2}\n')
    (folder / 'list.json').write_text('[1]')
    (folder / 'bytes.json').write_bytes(b'\xff\xfe\x00')
    assert save().value == 4


def test_benchmark_on_a_gpu_alone(tmp_path):
    def measured(seconds, batch=2, network='mpt', mode='infer'):
        setting = dict(mode=mode, batch_size=batch)
        return dict(network=network, setting=setting, seconds=seconds)

    files = dict(
        cpu=(dict(cpu='x'), [measured([0.001])]),
        gpu=(
            dict(cpu='x', gpu='some GPU'),
            [
                measured([0.1, 0.02, 0.04]),
                measured([0.1], batch=8),
                measured([0.001], network='other'),
                measured([0.001], mode='train'),
            ],
        ),
    )
    for name, (machine, measurements) in files.items():
        content = dict(machine=machine, measurements=measurements)
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    found = Results(tmp_path).of_benchmark('mpt')
    assert found.value == pytest.approx(80)
    assert found.source.endswith('gpu.json (some GPU)')
    assert Results(tmp_path).of_benchmark('none').value is None


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match='no folder'):
        Results(tmp_path / 'none')
