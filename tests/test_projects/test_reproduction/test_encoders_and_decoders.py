"""Every row of Table II can be trained at full size with the critic."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from projects.colorformer.color_memory import Memory, write_memory
from projects.reproduction.paper import read_paper

ROWS = read_paper()['II'].ours
# Z_0 is 0, so the self-attention of Color-Attention's first layer has nothing to attend to.
UNTRAINED = {
    'head.layers.0.self_attn.in_proj_weight',
    'head.layers.0.self_attn.out_proj.weight',
    'head.layers.0.norm1.weight',
}


@pytest.mark.parametrize('name', ROWS)
def test_row_of_table_ii_trains_every_parameter(name, openmmlab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = ROWS[name].network.cfg
    file = cfg.model.generator.get('head', {}).get('memory')
    if file:
        (tmp_path / file).parent.mkdir()
        write_memory(tmp_path / file, Memory(torch.randn(512, 64), 40 * torch.randn(512, 4, 2)))
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(dict(cfg.model, perceptual=None)).train()  # VGG19 is a download
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    generator = model.generator
    if file:
        generator.head.init_weights()  # reads the memory
    before = {key: p.detach().clone() for key, p in generator.named_parameters()}
    photos = list(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    logs = model.train_step(dict(inputs=photos), wrapper)
    assert {'loss_l1', 'loss_adversarial', 'loss_critic'} <= set(logs)
    assert all(torch.as_tensor(value).isfinite().all() for value in logs.values())
    same = {key for key, p in generator.named_parameters() if torch.equal(p, before[key])}
    assert same <= UNTRAINED
