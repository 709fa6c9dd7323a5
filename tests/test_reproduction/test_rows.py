"""Every row that is a colorizer trains, adversary included, and learns a photo by heart."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from skimage import data, transform

from dualattn_mm.engine.run import read_config
from dualattn_mm.reproduction.tables import read_tables
from dualattn_mm.utils.color_space import rgb_to_lab
from dualattn_mm.utils.configs_dir import configs_dir
from projects.colorformer.color_memory import Memory, write_memory

SIDE = 32
# Z_0 is 0, so that the self-attention of Color-Attention's first layer has nothing to attend to.
UNTRAINED = {
    'head.layers.0.self_attn.in_proj_weight',
    'head.layers.0.self_attn.out_proj.weight',
    'head.layers.0.norm1.weight',
}
STEPS, RATE = 70, 1e-2
# The colour memory has few convolutions, which learn less in a step at this width.
STEPS_OF_MEMORY, RATE_OF_MEMORY = 110, 2e-2
# A narrow network of each kind of encoder: what is narrow, and the channels of its maps.
ENCODERS = {
    'DualAttention': (
        dict(
            arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=4),
            window_size=2,
            head_dim=8,
            group_dim=8,
        ),
        (8, 8, 16, 16),
    ),
    'mmpretrain.ResNet': (dict(stem_channels=4, base_channels=2), (8, 16, 32, 64)),
    'mmpretrain.SwinTransformer': (
        dict(arch=dict(embed_dims=8, depths=[2, 1, 1, 1], num_heads=[1, 1, 2, 2])),
        (8, 16, 32, 64),
    ),
    'mmpretrain.SVT': (
        dict(
            arch=dict(
                embed_dims=[8, 8, 16, 16],
                depths=[2, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                patch_sizes=[4, 2, 2, 2],
                strides=[4, 2, 2, 2],
                mlp_ratios=[2, 2, 2, 2],
                sr_ratios=[8, 4, 2, 1],
                window_sizes=[7, 7, 7, 7],
            )
        ),
        (8, 8, 16, 16),
    ),
}
ENCODERS['projects.colorformer.glh_transformer.GLHTransformer'] = ENCODERS[
    'mmpretrain.SwinTransformer'
]
HEADS = {
    'ColorAttention': dict(num_layers=2, num_heads=2, feedforward_channels=32),
    'projects.colorformer.encoder_blocks.EncoderBlocksHead': dict(num_blocks=2, num_heads=2),
    'projects.colorformer.color_memory.ColorMemory': dict(
        num_semantics=4, num_colors=2, semantic_channels=8
    ),
}


def colorizers():
    """Each network once, though it may be in several tables."""
    rows = {}
    for table in read_tables(configs_dir() / 'reproduction.yml'):
        for row in table.rows:
            if row.config and row.config.startswith('configs/mmagic/'):
                network = (row.config, str(row.options))
                rows.setdefault(network, pytest.param(row, id=f'{table.name} {row.name}'))
    return list(rows.values())


def narrow(cfg):
    """The row's own model, with few channels and few layers."""
    generator = cfg.model.generator
    encoder = dict(generator.get('encoder', {}))
    narrower, channels = ENCODERS[encoder.get('type', 'DualAttention')]
    head = dict(generator.get('head', {}))
    generator.update(
        encoder={**encoder, **narrower},
        neck=dict(in_channels=channels, out_channels=(16, 16, 16)),
        head={**head, **HEADS[head.get('type', 'ColorAttention')], 'in_channels': 16},
    )
    cfg.model.perceptual = None  # its weights are a download
    cfg.model.critic.channels = (4, 8)
    for wrapper in (cfg.optim_wrapper.generator, cfg.optim_wrapper.critic):
        wrapper.optimizer.lr = 1e-3
    return cfg


@pytest.fixture(scope='module')
def photo():
    """(1, 3, 32, 32), sRGB in [0, 1]."""
    pixels = transform.resize(data.coffee()[40:360, 120:440], (SIDE, SIDE), anti_aliasing=True)
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


@pytest.mark.parametrize('row', colorizers())
def test_trains_and_learns_a_photo(row, photo, root, openmmlab, tmp_path, monkeypatch):
    cfg = narrow(read_config(str(root / row.config), row.options))
    steps, rate = STEPS, RATE
    if 'memory' in cfg.model.generator.get('head', {}):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'data').mkdir()
        memory = Memory(torch.randn(4, 8), 40 * torch.randn(4, 2, 2))
        write_memory(tmp_path / 'data' / 'color_memory.safetensors', memory)
        steps, rate = STEPS_OF_MEMORY, RATE_OF_MEMORY
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(cfg.model).train()
        model.generator.head.init_weights()  # reads the memory
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    # With its mirror image, as statistics of a batch are of several pixels.
    images = torch.cat((photo, photo.flip(-1)))
    before = {name: p.detach().clone() for name, p in model.generator.named_parameters()}
    batch = dict(inputs=list((255 * images).round().byte()))
    logs = model.train_step(batch, wrapper)
    assert {'loss_l1', 'loss_adversarial', 'loss_critic'} <= set(logs)
    assert all(torch.as_tensor(value).isfinite().all() for value in logs.values())
    still = {n for n, p in model.generator.named_parameters() if torch.equal(p, before[n])}
    assert still <= UNTRAINED

    lab = rgb_to_lab(images)
    generator = model.generator
    optimizer = torch.optim.Adam(generator.parameters(), lr=rate, foreach=True)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (generator(lab[:, :1]) - lab[:, 1:]).abs().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    best = lab[:, 1:].flatten(2).median(dim=-1).values  # of all single colours
    assert min(losses[-5:]) < 0.7 * (lab[:, 1:] - best[..., None, None]).abs().mean()
