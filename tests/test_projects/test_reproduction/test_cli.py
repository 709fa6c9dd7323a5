"""tools/reproduce.py: what it prints and writes, and what it says of wrong use."""

import shlex
from pathlib import Path

import pytest

from projects.reproduction import ours as module
from projects.reproduction.cli import main
from projects.reproduction.trainings import gpu_hours, trainings

ROOT = Path(__file__).parents[3]


def test_tables_are_printed_with_progress(capsys):
    assert main(['--table', 'Runtime']) == 0
    out, err = capsys.readouterr()
    assert out.startswith('### Runtime: The colorizer at 256 x 256')
    assert '55.09 ✓' in out
    assert 'counting networks' in err


@pytest.fixture(scope='module')
def waiting(tables, ours):
    return trainings([entry for own in tables.values() for entry in own], ours)


def test_commands_train_each_network_once(waiting):
    folders = [training.row.work_dir for training in waiting]
    assert len(folders) == len(set(folders)) == 42
    shared = 'I Ours; II Dual-Attention + Color-Attention; III FCA-SDA; IV K = 150'
    assert waiting[0].name == shared
    tests = [shlex.split(command) for command in waiting[0].commands[1:]]
    assert [Path(words[2]).stem for words in tests] == [
        'test_imagenet_val50k',
        'test_coco_stuff',
        'test_celeba_hq',
        'test_ade20k',
    ]


def test_commands_name_existing_files_and_the_folder_of_the_results(waiting):
    for training in waiting:
        words = shlex.split(' '.join(training.commands).replace('(', ' ').replace(')', ' '))
        paths = [word for word in words if word.startswith(('configs/', 'tools/', 'projects/'))]
        assert [path for path in paths if not (ROOT / path).is_file()] == []
        assert f' --work-dir {training.row.work_dir}' in training.commands[len(training.row.first)]
        assert f' --out {training.row.work_dir}/' in training.commands[-1]


def test_commands_of_a_row_have_its_options_and_what_comes_first(waiting):
    commands = {training.name: training.commands for training in waiting}
    options = "model.generator.num_queries=150 'model.generator.encoder.order=[fca,da]'"
    assert commands['III FCA-DA'] == [
        'bash tools/dist_train.sh configs/mmagic/color_dualattn_t.py 8 '
        f'--work-dir work_dirs/III_FCA_DA --cfg-options {options}',
        'bash tools/dist_test.sh configs/mmagic/test_imagenet_val50k.py '
        'work_dirs/III_FCA_DA/iter_200000.pth 8 '
        f'--out work_dirs/III_FCA_DA/test_imagenet_val50k.json --cfg-options {options}',
    ]
    detector = commands['X Dual-Attention-S']
    assert detector[0].startswith('(test -f work_dirs/cls_dualattn_s/epoch_300.pth || bash tools/')
    assert detector[2].split()[2:5] == [
        'configs/mmdet/mask_rcnn_dualattn_s.py',
        'work_dirs/mask_rcnn_dualattn_s/epoch_36.pth',
        '8',
    ]
    memory = commands['II Dual-Attention + CM']
    assert memory[1].startswith('(test -f data/color_memory.safetensors || python projects/')
    assert ' model.generator.head.memory=data/color_memory.safetensors' in memory[2]


def test_hours_follow_from_macs_or_seconds(paper, ours):
    rate = 2 * 256 * 4.448e9 / 0.17
    tiny = 6 * 5_147_922_432 * 1_281_167 * 300 / rate / 3600
    assert gpu_hours(paper['V'].ours['Dual-Attention-Tiny'], ours) == pytest.approx(tiny)
    color = 2 * (3 * 22_114_480_128 + 84e9) * 200_000 * 16 / rate / 3600
    assert gpu_hours(paper['I'].ours['Ours'], ours) == pytest.approx(color)
    lidar = 3 * 0.185 * 123_580 * 20 / 3600
    row = paper['XI'].ours['VoxelNet, Dual-Attention']
    assert gpu_hours(row, ours) == pytest.approx(lidar)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--table', 'XIV'], "invalid choice: 'XIV' (choose from"),
        (['--table', 'V', '--markdown', 'x.md'], '--markdown is for all tables'),
    ],
)
def test_wrong_arguments_are_named(arguments, said, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(arguments)
    assert said in capsys.readouterr().err


def test_library_that_is_not_installed_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(module.importlib.util, 'find_spec', lambda name: None)
    assert main(['--table', 'X']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.splitlines()[-1].startswith(
        'error: configs/mmdet/mask_rcnn_dualattn_t.py needs mmdet'
    )


def test_the_tool_is_that_command(run_script):
    status, out, _ = run_script(ROOT / 'tools' / 'reproduce.py', '--table', 'Fig. 7')
    assert status == 0
    assert '| ImageNet val |         95 |     50 |' in out
