"""The gallery of a training shows what a validation would see, and leaves the training alone."""

import os
import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image

from dualattn_mm.engine import run
from dualattn_mm.engine.hooks import ColorGalleryHook
from dualattn_mm.engine.hooks.repeatable import unchanged_randomness
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.configs_dir import configs_dir
from dualattn_mm.utils.image_io import read_image
from dualattn_mm.utils.tensors import to_picture, without_color
from dualattn_mm.visualization import gallery

CRITIC = {
    'model.critic': dict(type='WassersteinCritic', channels=(4, 8)),
    'optim_wrapper': ConfigDict(
        constructor='NetworkOptimWrapperConstructor',
        generator=dict(optimizer=dict(type='Adam', lr=0.1)),
        critic=dict(optimizer=dict(type='RMSprop', lr=1e-3)),
    ),
}


@pytest.fixture
def val(tmp_path):
    """Four photos of the network's size; the first and the third are shown."""
    rng = np.random.default_rng(1)
    for i in range(4):
        path = tmp_path / 'val' / f'class{i // 2}' / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / 'val'


@pytest.fixture
def train(config, tmp_path):
    """Trains the tiny colorizer; returns the runner."""

    def train_(name, changes=(), hooks=(), more=None):
        cfg = Config.fromfile(config)
        cfg.model.generator.image_size = 32
        cfg.model.generator.encoder.drop_path_rate = 0.5
        cfg.default_hooks.checkpoint.max_keep_ckpts = -1
        changes = dict(changes)
        cfg.optim_wrapper = changes.pop('optim_wrapper', cfg.optim_wrapper)
        cfg.merge_from_dict(changes)
        cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
        cfg.work_dir = str(tmp_path / name)
        cfg.experiment_name = f'{name}-{os.urandom(4).hex()}'
        runner = Runner.from_cfg(cfg)
        if more is not None:
            runner.register_hook(more)
        runner.train()
        return runner

    return train_


def shown(folder, **kwargs):
    return {
        'default_hooks.gallery': dict(
            type='ColorGalleryHook',
            dataset=dict(data_root=str(folder)),
            **dict(dict(interval=2, rows=2, height=32), **kwargs),
        )
    }


def sheets(folder):
    """By iteration."""
    found = folder.glob('*/vis_data/vis_image/gallery_*.png')
    return {int(path.stem.split('_')[1]): np.asarray(Image.open(path)) for path in found}


def expected_sheet(val, config, state):
    """The same photos, colorized by a model of its own."""
    model = MODELS.build(dict(config, generator=dict(config.generator))).eval()
    model.load_state_dict(state, strict=True)
    columns = {'gray (input)': [], 'predicted': [], 'original': []}
    names = ['class0/0.png', 'class1/2.png']
    for name in names:
        photo = np.asarray(read_image(val / name))
        image = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            pictures = (without_color(image[0]), 255 * model(image / 255)[0], image[0])
        for column, picture in zip(columns.values(), pictures, strict=True):
            column.append(to_picture(picture))
    return np.asarray(gallery(columns, names, 32))


@pytest.mark.parametrize('averaged', [False, True])
def test_gallery_equals_validation_predictions(train, tmp_path, val, averaged):
    hooks = [dict(type='GeneratorEMAHook', momentum=0.1)] if averaged else []
    runner = train('run', {**shown(val), **CRITIC, 'train_cfg.max_iters': 5}, hooks)
    found = sheets(tmp_path / 'run')
    assert set(found) == {2, 4, 5}
    for step, sheet in found.items():
        checkpoint = torch.load(tmp_path / 'run' / f'iter_{step}.pth', weights_only=True)
        wanted = expected_sheet(val, runner.cfg.model, checkpoint['state_dict'])
        assert sheet.shape == wanted.shape
        assert np.abs(sheet.astype(int) - wanted).max() <= 1
        assert np.abs(sheet.astype(int) - wanted).mean() < 0.005
        if averaged:
            trained = checkpoint['ema_state_dict'].items()  # mmengine exchanges the two
            trained = {k.replace('module.', 'generator.', 1): v for k, v in trained}
            state = {k: trained.get(k, v) for k, v in checkpoint['state_dict'].items()}
            other = expected_sheet(val, runner.cfg.model, state)
            assert np.abs(sheet.astype(int) - other).mean() > 0.05
    assert np.abs(found[2].astype(int) - found[5]).max() > 5


HOOKS = dict(
    one=[],
    averaged=[dict(type='GeneratorEMAHook', momentum=0.3)],
    library_s=[dict(type='EMAHook', momentum=0.3)],
)


@pytest.mark.parametrize('critic', [False, True])
@pytest.mark.parametrize('hooks', HOOKS)
def test_training_is_the_same_with_and_without(train, tmp_path, val, critic, hooks):
    changes = {'default_hooks.checkpoint.interval': 3, **(CRITIC if critic else {})}
    # A pipeline that draws random numbers, and a network that draws them in training.
    drawing = shown(val, interval=1)
    drawing['default_hooks.gallery']['dataset'].update(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=32),
            dict(type='PackColorization'),
        ]
    )
    for name, options in (('with', drawing), ('without', {})):
        train(name, {**changes, **options}, HOOKS[hooks])
    one, other = (
        torch.load(tmp_path / name / 'iter_3.pth', weights_only=True)
        for name in ('with', 'without')
    )
    for key in ('state_dict', 'optimizer', 'ema_state_dict'):
        assert_equal(one.get(key), other.get(key))
    assert set(sheets(tmp_path / 'with')) == {1, 2, 3}
    assert not sheets(tmp_path / 'without')


def assert_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_photos_are_squashed_to_the_size_of_the_network(train, val):
    Image.new('RGB', (50, 40), 'red').save(val / 'class0' / '0.png')
    hook = ColorGalleryHook(dict(data_root=str(val)), rows=3)
    train('run', {'train_cfg.max_iters': 1}, more=hook)
    assert [sample['inputs'].shape for sample in hook.samples] == [(3, 32, 32)] * 3


def test_modules_get_back_the_mode_of_each(train, val):
    seen = []

    class Look(ColorGalleryHook):
        def _predict(self, runner):
            model = runner.model
            model.generator.neck.eval()  # as what is frozen
            seen.append([m.training for m in model.modules()])
            step = model.test_step
            model.test_step = lambda data: (modes.append(model.training), step(data))[1]
            modes = []
            predicted = super()._predict(runner)
            model.test_step = step
            assert modes == [False, False]
            seen.append([m.training for m in model.modules()])
            return predicted

    train('run', more=Look(dict(data_root=str(val)), interval=1, rows=2))
    assert len(seen) == 6
    for before, after in zip(seen[::2], seen[1::2], strict=True):
        assert before == after
        assert set(before) == {True, False}


def test_random_numbers_go_on_where_they_were():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()

    def seed():
        random.seed(5), np.random.seed(5), torch.manual_seed(5)

    seed()
    expected = [draw(), draw()]
    seed()
    first = draw()
    with suppress(ZeroDivisionError), unchanged_randomness():
        assert draw() == expected[1]
        random.seed(7), np.random.seed(7), torch.manual_seed(7)
        raise ZeroDivisionError
    assert [first, draw()] == expected


def test_without_a_folder_there_is_none(train, tmp_path):
    train('run', {'train_cfg.max_iters': 1})
    assert not sheets(tmp_path / 'run')


def damage(folder):
    (folder / 'class0' / '0.png').write_bytes(b'no photo')


def clear(folder):
    for path in folder.rglob('*.png'):
        path.unlink()


@pytest.mark.parametrize(
    ('change', 'message'), [(None, 'nix'), (damage, '0.png: not a JPEG'), (clear, 'no JPEG/')]
)
def test_unusable_gallery_is_reported_before_training(
    config, tmp_path, val, capfd, change, message
):
    folder = val if change else tmp_path / 'nix'
    if change:
        change(val)
    options = dict(shown(folder), experiment_name=os.urandom(4).hex())
    work_dir = tmp_path / 'work'
    code = run_command(lambda: run.train(str(config), str(work_dir), cfg_options=options))
    err = capfd.readouterr().err
    assert code == 2
    assert err.startswith('error: the photos of the gallery: ')
    assert message in err
    assert 'default_hooks.gallery.dataset.data_root=FOLDER' in err
    assert err.count('\n') == 1
    assert not list(work_dir.glob('*.pth'))


def test_tensorboard_has_it_too(train, tmp_path, val):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    runner = train('run', {**shown(val), 'visualizer.vis_backends': backends})
    runner.visualizer.close()
    (events,) = (tmp_path / 'run').glob('*/vis_data/events*')
    log = EventAccumulator(str(events.parent))
    log.Reload()
    images = {event.step: event for event in log.Images('gallery')}
    files = sheets(tmp_path / 'run')
    assert set(images) == set(files) == {2, 3}
    for step, event in images.items():
        assert (event.height, event.width) == files[step].shape[:2]


@pytest.mark.parametrize('argument', ['interval', 'rows', 'height'])
def test_wrong_arguments_are_reported(argument):
    with pytest.raises(ValueError, match='must be > 0'):
        ColorGalleryHook(**{argument: 0})


@pytest.mark.parametrize(
    ('name', 'folder'),
    [('t', 'data/imagenet/val'), ('t_q150', 'data/imagenet/val'), ('mini', None)],
)
def test_the_configs_have_it(name, folder):
    cfg = Config.fromfile(configs_dir() / 'mmagic' / f'color_dualattn_{name}.py')
    assert cfg.default_hooks.gallery.type == 'ColorGalleryHook'
    assert cfg.default_hooks.gallery.dataset.data_root == folder
    assert cfg.default_hooks.checkpoint.type == 'SafeCheckpointHook'
