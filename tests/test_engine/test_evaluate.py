"""tools/test.py: the table, the JSON file, the pictures, and the weights it takes."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from processes import dualattn_in_processes, free_port, ranks

from dualattn_mm.apis import save_generator
from dualattn_mm.engine.hooks import ReportHook
from dualattn_mm.engine.run import train
from dualattn_mm.utils.colorfulness import colorfulness
from dualattn_mm.utils.configs_dir import configs_dir

TOOLS = Path(__file__).parents[2] / 'tools'
SIZE = 12
# Of seven photos, as one batch each: the figures must not depend on how they are batched.
TESTING = f"""
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(
        data_root=train_dataloader['dataset']['data_root'],
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size={SIZE}),
            dict(type='PackColorization'),
        ],
    ),
)
test_evaluator = [
    dict(type='ColorizationCF'),
    dict(type='ColorizationPSNR'),
    dict(type='ColorizationSSIM'),
    dict(type='ColorizationABError'),
    dict(type='ColorizationFID', network=dict(type='torch.nn.Flatten')),
]
"""
NAMES = {'CF', 'CF_truth', 'Delta_CF', 'PSNR', 'SSIM', 'ab_error', 'FID'}


@pytest.fixture
def testing(config):
    """The path of a config that tests a tiny colorizer on seven photos, one below a folder."""
    runtime = configs_dir() / '_base_' / 'color_runtime.py'
    bases = [str(runtime), str(runtime.with_name('color_test.py'))]
    text = config.read_text().replace(f'_base_ = {str(runtime)!r}', f'_base_ = {bases!r}')
    config.write_text(text + TESTING)
    photos = config.parent / 'photos'
    (photos / 'more').mkdir()
    (photos / '6.png').rename(photos / 'more' / '6.png')
    return config


@pytest.fixture
def checkpoint(testing, tmp_path):
    """Weights with some color."""
    model = MODELS.build(Config.fromfile(testing).model)
    torch.nn.init.normal_(model.generator.head.to_ab.weight, std=0.5)
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def tool(testing, tmp_path, run_script):
    """Calls tools/test.py in this process; gives status, stdout and stderr."""

    def call(*words):
        name = f'experiment_name=x{os.urandom(4).hex()}'
        work_dir = ['--work-dir', tmp_path / 'work', '--cfg-options', name]
        return run_script(TOOLS / 'test.py', testing, *words, *work_dir)

    return call


def squashed(path):
    # By what torchvision's antialiased resize of bytes is, too.
    image = torch.from_numpy(np.array(Image.open(path).convert('RGB'))).permute(2, 0, 1)
    from torchvision.transforms.v2 import functional

    return functional.resize(image, [SIZE, SIZE], antialias=True).permute(1, 2, 0).numpy()


def test_table_json_and_pictures(tool, testing, checkpoint, tmp_path):
    out, shown = tmp_path / 'new' / 'figures.json', tmp_path / 'shown'
    status, stdout, stderr = tool(checkpoint, '--out', out, '--show-dir', shown)
    assert status == 0, stderr
    result = json.loads(out.read_text())
    assert (result['config'], result['checkpoint']) == (str(testing), str(checkpoint))
    assert result['images'] == 7
    metrics = result['metrics']
    assert set(metrics) == NAMES
    assert f'{testing}, {checkpoint}: 7 images' in stdout
    for name in NAMES:
        (line,) = [line for line in stdout.splitlines() if f' {name} ' in line]
        assert float(line.split()[3]) == pytest.approx(metrics[name], abs=0.006)

    saved = sorted(p.relative_to(shown).as_posix() for p in shown.rglob('*') if p.is_file())
    assert saved == [*(f'{i}.png' for i in range(6)), 'more/6.png']
    photos = tmp_path / 'photos'
    pictures = [np.array(Image.open(shown / name)) for name in saved]
    truths = [squashed(photos / name) for name in saved]
    assert metrics['CF'] == pytest.approx(np.mean([colorfulness(p) for p in pictures]))
    assert metrics['CF_truth'] == pytest.approx(np.mean([colorfulness(t) for t in truths]))
    errors = [((p.astype(float) - t) ** 2).mean() for p, t in zip(pictures, truths, strict=True)]
    assert metrics['PSNR'] == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(errors))))
    assert metrics['CF'] > 1


def test_config_of_the_training_is_kept(tool, testing, tmp_path):
    """The documentation tells to use it, as it has the training's --cfg-options."""
    work = tmp_path / 'work'
    options = {'train_cfg.max_iters': 1, 'optim_wrapper.optimizer.lr': 0.25}
    train(str(testing), str(work), cfg_options=options | dict(experiment_name=os.urandom(4).hex()))
    saved = (work / testing.name).read_text()
    status, _, stderr = tool(work / 'iter_1.pth')
    assert status == 0, stderr
    assert (work / testing.name).read_text() == saved
    logged = [Config.fromfile(path) for path in work.glob('*/vis_data/config.py')]
    assert 1e-3 in {cfg.optim_wrapper.optimizer.lr for cfg in logged}, 'that of the test'


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tool, testing, checkpoint, tmp_path):
    """Seven photos do not divide by two."""
    shown = tmp_path / 'two'
    words = ['--out', tmp_path / 'two.json', '--show-dir', shown, '--work-dir', tmp_path / 'work2']
    command = ['test', testing, checkpoint, '--launcher', 'pytorch', *words]
    output = dualattn_in_processes(ranks(2, free_port()), tmp_path, *command)
    assert tool(checkpoint, '--out', tmp_path / 'one.json', '--show-dir', tmp_path / 'one')[0] == 0
    assert 'no GPU: 2 processes' in output
    assert output.count(' PSNR ') == 1, 'one table'
    one, two = (json.loads((tmp_path / f'{n}.json').read_text()) for n in ('one', 'two'))
    assert two['images'] == one['images'] == 7
    for name, value in one['metrics'].items():
        assert two['metrics'][name] == pytest.approx(value, rel=1e-6), name
    for picture in (tmp_path / 'one').rglob('*.png'):
        other = shown / picture.relative_to(tmp_path / 'one')
        assert picture.read_bytes() == other.read_bytes()
    assert not (tmp_path / '.dist_test').exists(), 'nothing is left in the working folder'


def generator(testing, **changes):
    cfg = Config.fromfile(testing).model.generator.to_dict()
    return MODELS.build(dict(cfg, **changes)), dict(cfg, **changes)


def test_safetensors_of_the_generator(tool, testing, checkpoint, tmp_path):
    network, cfg = generator(testing, saturation=1.3)
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    network.load_state_dict({k.removeprefix('generator.'): v for k, v in state.items()})
    save_generator(tmp_path / 'mpt.safetensors', network, cfg)
    files = [tmp_path / 'a.json', tmp_path / 'b.json']
    # The average of weights that the config asks for is that of the file.
    text = testing.read_text()
    testing.write_text(f"{text}\ncustom_hooks = [dict(type='GeneratorEMAHook')]\n")
    said = (' images, at saturation 1\n', ' images, at saturation 1 (dualattn colorize uses 1.3)\n')
    for weights, out, end in zip(
        (checkpoint, tmp_path / 'mpt.safetensors'), files, said, strict=True
    ):
        status, stdout, _ = tool(weights, '--out', out)
        assert status == 0
        assert end in stdout
    one, other = (json.loads(out.read_text())['metrics'] for out in files)
    assert one == other


def test_report_without_figures_prints_a_notice(capsys, tmp_path):
    """As mmdet's metric of boxes has none where nothing was detected."""
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=range(3)))
    runner = SimpleNamespace(test_loop=loop, model=torch.nn.Identity())
    ReportHook('a.py', 'a.pth', tmp_path / 'a.json').after_test_epoch(runner, {})
    assert capsys.readouterr().out == (
        'a.py, a.pth: 3 images\n'
        'the evaluator returned no figures, for example because nothing was detected\n'
    )
    assert json.loads((tmp_path / 'a.json').read_text())['metrics'] == {}


def test_safetensors_of_another_network(tool, testing, tmp_path):
    path = tmp_path / 'other.safetensors'
    save_generator(path, *generator(testing, num_queries=5))
    status, _, stderr = tool(path)
    assert status == 2
    (line,) = stderr.strip().splitlines()
    assert line.startswith(f'error: {path} does not fit the network: ')
    assert 'queries' in line


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nix.safetensors'], 'checkpoint nix.safetensors does not exist'),
        (['{weights}', '--out', '{folder}'], 'is a folder'),
        (['{weights}', '--out', '{weights}/x.json'], 'cannot write to the folder'),
        (['{weights}', '--show-dir', '{folder}/photos'], 'would be overwritten'),
        (['{folder}/photos/0.png.safetensors'], 'does not describe its network'),
    ],
)
def test_errors_of_use_are_reported_in_one_line(tool, checkpoint, tmp_path, words, message):
    from safetensors.torch import save_file

    save_file(dict(x=torch.zeros(1)), tmp_path / 'photos' / '0.png.safetensors')
    status, _, stderr = tool(*(w.format(weights=checkpoint, folder=tmp_path) for w in words))
    assert status == 2
    assert message in stderr
    assert stderr.startswith('error: ')
    assert stderr.count('\n') == 1


@pytest.mark.parametrize('words', [['x.safetensors'], ['x.pth', '--show-dir', 'shown']])
def test_options_for_colorizers_are_rejected_for_other_models(
    tool, testing, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    Path(words[0]).touch()
    testing.write_text(f"{testing.read_text()}\nmodel = dict(_delete_=True, type='MaskRCNN')\n")
    status, _, stderr = tool(*words)
    assert status == 2
    assert 'is for a Colorizer, but the model of' in stderr
    assert 'is MaskRCNN' in stderr
