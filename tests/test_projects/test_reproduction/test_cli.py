"""tools/reproduce.py: what it prints, and the commands of training runs with their cost."""

import shlex
from pathlib import Path

import pytest

from projects.reproduction.cli import main
from projects.reproduction.trainings import gpu_hours, trainings

ROOT = Path(__file__).parents[3]


def test_tool_prints_tables_with_progress(run_script):
    words = '--table', 'Runtime', 'Fig. 7'
    status, out, err = run_script(ROOT / 'tools' / 'reproduce.py', *words)
    assert status == 0
    assert out.startswith('### Runtime: The colorizer at 256 x 256')
    assert '55.09 ✓' in out
    assert '| ImageNet val |         95 |     50 |' in out
    assert 'counting networks' in err


@pytest.fixture(scope='module')
def waiting(tables):
    return trainings([entry for own in tables.values() for entry in own])


def test_commands_train_each_network_once(waiting):
    folders = [training.row.network.work_dir for training in waiting]
    assert len(folders) == len(set(folders)) == 42
    shared = 'I Ours; II Dual-Attention + Color-Attention; III FCA-SDA; IV K = 150'
    assert waiting[0].name == shared
    tests = [Path(shlex.split(command)[2]).stem for command in waiting[0].commands[1:]]
    assert tests == ['test_imagenet_val50k', 'test_coco_stuff', 'test_celeba_hq', 'test_ade20k']


def test_commands_name_existing_files_and_the_folder_of_the_results(waiting):
    for training in waiting:
        words = shlex.split(' '.join(training.commands).replace('(', ' ').replace(')', ' '))
        paths = [word for word in words if word.startswith(('configs/', 'tools/', 'projects/'))]
        assert [path for path in paths if not (ROOT / path).is_file()] == []
        assert f' --work-dir {training.row.network.work_dir}' in ' '.join(training.commands)
        assert f' --out {training.row.network.work_dir}/' in training.commands[-1]


def test_commands_of_a_row_have_its_options_and_prerequisites(waiting):
    commands = {training.name: training.commands for training in waiting}
    options = "model.generator.num_queries=150 'model.generator.encoder.order=[fca,da]'"
    assert commands['III FCA-DA'] == [
        'bash tools/dist_train.sh configs/mmagic/color_dualattn_t.py 8 '
        f'--work-dir work_dirs/III_FCA_DA --cfg-options {options}',
        'bash tools/dist_test.sh configs/mmagic/test_imagenet_val50k.py '
        'work_dirs/III_FCA_DA/iter_200000.pth 8 '
        f'--out work_dirs/III_FCA_DA/test_imagenet_val50k.json --cfg-options {options}',
    ]
    first = '(test -f work_dirs/cls_dualattn_{0}/epoch_300.pth || bash tools/dist_train.sh '
    first += 'configs/mmpretrain/cls_dualattn_{0}.py 8)'
    for table, training in (('VII', 'cascade_dualattn'), ('X', 'mask_rcnn_dualattn')):
        for size in 'TS':
            start, _, test = commands[f'{table} Dual-Attention-{size}']
            assert start == first.format(size.lower())
            name = f'{training}_{size.lower()}'
            assert f' configs/mmdet/{name}.py work_dirs/{name}/epoch_36.pth 8 ' in test
    assert commands['IX Dual-Attention-B'][0] == first.format('b')
    memory = commands['II Dual-Attention + CM']
    assert memory[0] == first.format('t')
    assert memory[1].startswith('(test -f data/color_memory.safetensors || python projects/')
    assert ' model.generator.head.memory=data/color_memory.safetensors' in memory[2]


def test_hours_follow_from_macs_or_seconds(paper, openmmlab):
    rate = 2 * 256 * 4.448e9 / 0.17
    tiny = 6 * 5_147_922_432 * 1_281_167 * 300 / rate / 3600
    assert gpu_hours(paper['V'].ours['Dual-Attention-Tiny']) == pytest.approx(tiny)
    color = 2 * (3 * 22_114_480_128 + 84e9) * 200_000 * 16 / rate / 3600
    assert gpu_hours(paper['I'].ours['Ours']) == pytest.approx(color)
    lidar = paper['XI'].ours['VoxelNet, Dual-Attention']
    assert gpu_hours(lidar) == pytest.approx(3 * 0.185 * 123_580 * 20 / 3600)


@pytest.mark.parametrize('other', [['--table', 'V'], ['--commands']])
def test_markdown_with_other_choices_is_refused(capsys, other):
    with pytest.raises(SystemExit, match='2'):
        main([*other, '--markdown', 'x.md'])
    assert '--markdown writes the whole page' in capsys.readouterr().err
