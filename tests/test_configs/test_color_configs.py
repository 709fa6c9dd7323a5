"""The colorizer configs: settings of the paper, and short training runs."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

from dualattn_mm.apis.weights import DEFAULT_WEIGHTS, load_generator

CONFIGS = Path(__file__).parents[2] / 'configs' / 'mmagic'
TINY = dict(
    encoder=dict(
        arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=4),
        window_size=4,
        head_dim=8,
        group_dim=8,
    ),
    neck=dict(in_channels=(8, 8, 16, 16), out_channels=(16, 16, 16)),
    head=dict(in_channels=16, num_layers=1, num_heads=2, feedforward_channels=16),
    num_queries=4,
)
CRITIC = dict(channels=(4, 8))


def load(name):
    return Config.fromfile(CONFIGS / name)


def count(network):
    with torch.device('meta'):
        return sum(p.numel() for p in MODELS.build(network).parameters())


def test_the_paper_s_setting():
    cfg = load('color_dualattn_t.py')
    assert cfg.get('default_scope') is None, 'trains without mmagic'
    assert count(cfg.model.generator) == 55_092_032
    assert cfg.model.generator.num_queries == 64
    assert cfg.model.l1_weight == 0.1
    assert cfg.model.perceptual.loss_weight == 5.0
    assert cfg.model.perceptual.weights == 'torchvision://vgg19'
    assert cfg.model.adversarial == dict(type='WassersteinLoss', loss_weight=1.0)
    assert cfg.train_cfg == dict(by_epoch=False, max_iters=200_000)
    assert cfg.train_dataloader.batch_size * 8 == 16 == cfg.auto_scale_lr.base_batch_size
    generator, critic = (cfg.optim_wrapper[name].optimizer for name in ('generator', 'critic'))
    assert generator == dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))
    assert critic == dict(type='RMSprop', lr=5e-5)
    scheduler = cfg.param_scheduler
    assert (scheduler.type, scheduler.by_epoch, scheduler.gamma) == ('MultiStepLR', False, 0.5)
    assert list(scheduler.milestones) == [80_000, 120_000, 160_000]
    crop = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'ColorizationCrop')
    assert crop.size == cfg.model.generator.image_size == 256


def test_150_queries_are_the_only_difference():
    base, more = (load(f'color_dualattn_t{suffix}.py') for suffix in ('', '_q150'))
    assert count(more.model.generator) == 55_138_816
    stated = ast.parse((CONFIGS / 'color_dualattn_t_q150.py').read_text()).body
    assert [statement.targets[0].id for statement in stated] == ['_base_', 'model']
    more.model.generator.num_queries = 64
    assert more.to_dict() == base.to_dict()


@pytest.mark.parametrize(
    ('suffix', 'parameters'),
    [
        *((suffix, 5_668_160) for suffix in ('_critic', '_distilled', '_demo')),
        *((suffix, 9_349_088) for suffix in ('', '_finetune', '_gpu')),
    ],
)
def test_mini_is_the_preset(suffix, parameters):
    cfg = load(f'color_dualattn_mini{suffix}.py')
    assert count(cfg.model.generator) == parameters
    assert cfg.get('default_scope') is None, 'trains without mmagic'


def test_bundled_weights_are_of_the_network_of_their_recipe():
    network = MODELS.build(load('color_dualattn_mini.py').model.generator)
    assert {k: v.shape for k, v in network.state_dict().items()} == {
        k: v.shape for k, v in load_generator(DEFAULT_WEIGHTS).state_dict().items()
    }


def test_mini_trains_at_several_sizes_on_photos_in_memory(photos, tmp_path):
    cfg = short('color_dualattn_mini.py', photos, tmp_path, critic=None)
    cfg.model.train_sizes = (32, 64)
    cfg.train_cfg.max_iters = 4
    runner = Runner.from_cfg(cfg)
    sides = []

    def record(module, args):
        sides.append(args[0].shape[2])

    runner.model.generator.register_forward_pre_hook(record)
    runner.train()
    assert len(sides) == 4
    assert set(sides) <= {32, 64}
    scalars = runner.message_hub.log_scalars
    assert np.isfinite(scalars['train/loss_color'].data[0]).all()
    dataset = runner.train_dataloader.dataset
    assert any(dataset._cache.get(i) is not None for i in range(len(dataset)))


@pytest.mark.parametrize('suffix', ['', '_distilled', '_gpu', '_finetune'])
def test_a_checkpoint_with_a_teacher_can_be_continued_without_it(suffix):
    hooks = load(f'color_dualattn_mini{suffix}.py').custom_hooks
    [strict] = [HOOKS.build(hook) for hook in hooks if hook.type == 'StrictLoadHook']
    assert [p for p in strict.ignore if p.search('distillation.projections.0.weight')]
    assert not [p for p in strict.ignore if p.search('generator.head.weight')]


def test_distillation_starts_from_its_teacher_s_file(photos, tmp_path):
    cfg = short('color_dualattn_mini_distilled.py', photos, tmp_path, critic=None)
    cfg.model.distillation.weights = str(tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        Runner.from_cfg(cfg).train()


def test_model_of_mmagic_s_scope(openmmlab):
    cfg = load('color_dualattn_t.py')
    cfg.model.adversarial = dict(type='GANLoss', gan_type='wgan', loss_weight=1.0)
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(cfg.model)
    assert type(model.adversarial).__module__.startswith('mmagic.')


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos' / 'n01440764'
    folder.mkdir(parents=True)
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.JPEG')
    return tmp_path / 'photos'


def short(name, photos, tmp_path, critic=CRITIC, **options):
    """Shorten the config to three iterations of a tiny network."""
    cfg = load(name)
    cfg.merge_from_dict(dict(model=dict(generator=TINY)))
    if critic:
        cfg.merge_from_dict(dict(model=dict(critic=critic)))
        cfg.param_scheduler.milestones = [1, 2]
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'run'),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                persistent_workers=False,
                dataset=dict(data_root=str(photos)),
            ),
            train_cfg=dict(max_iters=3),
            default_hooks=dict(checkpoint=dict(interval=1), logger=dict(interval=1)),
            randomness=dict(seed=0),
            log_level='ERROR',
            experiment_name=tmp_path.name,
            **options,
        )
    )
    for transform in cfg.train_dataloader.dataset.pipeline:
        if 'size' in transform:
            transform.size = 32
    return cfg


def test_training_logs_losses_and_both_learning_rates(photos, tmp_path):
    runner = Runner.from_cfg(short('color_dualattn_mini_critic.py', photos, tmp_path))
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert scalars['train/critic.lr'].data[0] == pytest.approx([5e-5, 2.5e-5, 1.25e-5])
    assert scalars['train/generator.lr'].data[0] == pytest.approx([4e-4, 2e-4, 1e-4])
    for name in ('loss', 'loss_l1', 'loss_adversarial', 'loss_critic', 'ab_l1'):
        assert np.isfinite(scalars[f'train/{name}'].data[0]).all()
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    for name in ('generator.lr', 'critic.lr', 'loss_critic'):
        assert name in log.read_text()


def test_a_moving_average_of_the_generator(photos, tmp_path):
    """Checkpoints have the average of the recurrence, and resuming restores both."""
    momentum = 0.3
    cfg = short('color_dualattn_mini_critic.py', photos, tmp_path)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='GeneratorEMAHook', momentum=momentum)]
    runner = Runner.from_cfg(cfg)
    steps = []
    train_step = runner.model.train_step

    def record(*args, **kwargs):
        logs = train_step(*args, **kwargs)
        steps.append({k: v.clone() for k, v in runner.model.state_dict().items()})
        return logs

    runner.model.train_step = record
    runner.train()
    average = {}
    for step, weights in enumerate(steps, 1):
        for key, value in weights.items():
            old = average.get(key, value)
            average[key] = (1 - momentum) * old + momentum * value
        path = tmp_path / 'run' / f'iter_{step}.pth'
        saved = torch.load(path, weights_only=True)['state_dict']
        assert set(saved) == set(weights)
        for key, value in saved.items():
            expected = average[key] if key.startswith('generator.') else weights[key]
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    moved = [k for k in average if not torch.allclose(average[k], weights[k], atol=1e-6)]
    assert any(k.startswith('generator.') for k in moved)

    again = cfg.copy()
    again.merge_from_dict(
        dict(
            resume=True,
            load_from=str(tmp_path / 'run' / 'iter_2.pth'),
            work_dir=str(tmp_path / 'again'),
            experiment_name=f'{tmp_path.name}-again',
        )
    )
    runner = Runner.from_cfg(again)
    loaded = []
    hook = next(h for h in runner.hooks if type(h).__name__ == 'GeneratorEMAHook')
    before_train = hook.before_train

    def look(runner):
        loaded.append({k: v.clone() for k, v in runner.model.state_dict().items()})
        loaded.append({k: v.clone() for k, v in hook.ema_model.module.state_dict().items()})
        before_train(runner)

    hook.before_train = look
    runner.train()
    assert all(torch.equal(value, steps[1][key]) for key, value in loaded[0].items())
    saved = torch.load(tmp_path / 'run' / 'iter_2.pth', weights_only=True)['state_dict']
    assert all(torch.equal(v, saved[f'generator.{k}']) for k, v in loaded[1].items())


def test_the_average_is_tested(photos, tmp_path):
    """Validation and testing use the averaged weights; load_from initializes the average."""
    cfg = short('color_dualattn_mini_critic.py', photos, tmp_path)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='GeneratorEMAHook', momentum=0.3)]
    runner = Runner.from_cfg(cfg)
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == 'GeneratorEMAHook')
    trained, average = (
        {k: v.clone() for k, v in m.state_dict().items()}
        for m in (runner.model.generator, hook.ema_model.module)
    )
    assert any(not torch.equal(trained[k], average[k]) for k in trained)
    hook.before_val_epoch(runner)
    assert all(torch.equal(v, average[k]) for k, v in runner.model.generator.state_dict().items())
    hook.after_val_epoch(runner)
    assert all(torch.equal(v, trained[k]) for k, v in runner.model.generator.state_dict().items())
    start = {k: torch.rand_like(v) for k, v in runner.model.state_dict().items()}
    hook.after_load_checkpoint(runner, dict(state_dict=start))
    average = hook.ema_model.module.state_dict()
    assert all(torch.equal(v, start[f'generator.{k}']) for k, v in average.items())


def test_optimizers_of_unknown_networks_are_reported(photos, tmp_path):
    cfg = short('color_dualattn_mini_critic.py', photos, tmp_path)
    cfg.optim_wrapper.discriminator = cfg.optim_wrapper.pop('critic')
    with pytest.raises(ValueError, match=r"\['discriminator'\].*'critic'"):
        Runner.from_cfg(cfg).train()
