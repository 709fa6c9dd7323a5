"""The colorizer's configs under mmagic's own tools, metrics, pictures and inferencer."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from processes import PATIENCE
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio
from tiny import GENERATOR

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs' / 'mmagic'
TINY = dict(GENERATOR, _delete_=True)
MODEL = f'model = dict(perceptual=None, critic=dict(channels=(4, 4)), generator={TINY!r})\n'


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, image in (('a', astronaut()), ('b', chelsea()), ('c', coffee())):
        Image.fromarray(image[::4, ::4]).save(folder / f'{name}.png')
    return folder


# The calls given as JSON, each a script and its arguments, one after the other: importing mmagic
# takes most of a call's time.
CALLS = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_path(sys.argv[0], run_name='__main__')
"""


def run_tools(*calls, start):
    """What mmagic's own tools print, in a process that has imported nothing else."""
    spec = importlib.util.find_spec('mmagic')
    if spec is None:
        pytest.skip('not installed: mmagic')
    tools = Path(spec.submodule_search_locations[0], '.mim', 'tools')
    words = [[str(tools / f'{name}.py'), *map(str, args)] for name, *args in calls]
    process = start(sys.executable, '-c', CALLS, json.dumps(words), PYTHONPATH=str(ROOT))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.mark.integration
@pytest.mark.slow
def test_train_and_test(tmp_path, photos, start):
    config = tmp_path / 'train.py'
    config.write_text(
        f'_base_ = {str(CONFIGS / "color_dualattn_t.py")!r}\n{MODEL}'
        'train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(\n'
        f'    data_root={str(photos)!r}, pipeline=[dict(type="LoadPhoto"),\n'
        '    dict(type="ColorizationCrop", size=64), dict(type="PackColorization")]))\n'
        'train_cfg = dict(max_iters=2)\n'
        'default_hooks = dict(logger=dict(interval=1), gallery=dict(interval=2,\n'
        f'    dataset=dict(data_root={str(photos)!r})))\n'
    )
    work_dir = tmp_path / 'work'
    checkpoint = work_dir / 'iter_2.pth'
    test = tmp_path / 'test.py'
    test.write_text(
        f'_base_ = {str(CONFIGS / "test_mmagic.py")!r}\n{MODEL}'
        'test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(\n'
        f'    data_root={str(photos)!r}))\n'
    )
    out, tested = tmp_path / 'out.json', tmp_path / 'tested'
    log = run_tools(
        ('train', config, '--work-dir', work_dir),
        ('test', test, checkpoint, '--work-dir', tested, '--out', out),
        start=start,
    )
    for name in ('loss_l1', 'loss_adversarial', 'loss_critic'):
        assert re.search(rf'\[2/2\].*{name}: -?\d', log), name
    assert len(list(work_dir.glob('*/vis_data/vis_image/*'))) == 1  # the gallery

    model = MODELS.build(Config.fromfile(test).model)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    values = []
    for path in sorted(photos.iterdir()):
        image = np.asarray(Image.open(path).resize((256, 256), Image.Resampling.BILINEAR))
        batch = torch.from_numpy(image / 255).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            result = model.eval()(batch)[0].permute(1, 2, 0).double().numpy()
        values.append(peak_signal_noise_ratio(image / 255, result, data_range=1))
    figures = json.loads(out.read_text())
    assert figures['PSNR'] == pytest.approx(np.mean(values), abs=0.05)
    assert 0 < figures['SSIM'] < 1
    [a] = tested.rglob('a_*.png')
    assert Image.open(a).size == (512, 256)  # truth | prediction


def test_inferencer(tmp_path, photos, openmmlab):
    from mmagic.apis.inferencers.colorization_inferencer import ColorizationInferencer

    config = tmp_path / 'test.py'
    config.write_text(f'_base_ = {str(CONFIGS / "test_mmagic.py")!r}\n{MODEL}')
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model).eval()
    checkpoint = tmp_path / 'x.pth'
    torch.save(dict(meta={}, state_dict=model.state_dict()), checkpoint)
    inferencer = ColorizationInferencer(cfg, str(checkpoint), device='cpu')
    photo, out = photos / 'b.png', tmp_path / 'new' / 'b.png'
    inferencer(img=str(photo), result_out_dir=str(out))
    image = torch.from_numpy(np.asarray(Image.open(photo)) / 255).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        expected = model(image)[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(np.asarray(Image.open(out)), expected, atol=0.51)
