import collections
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from dualattn_mm.apis import ColorizationPipeline, ColorizeError, load_generator, save_generator
from dualattn_mm.apis import weights as weights_module
from dualattn_mm.utils.checkpoint_file import read_checkpoint

CFG = dict(type='TwoConvs')


@pytest.fixture
def generator(two_convs, perturb):
    return perturb(two_convs())


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("model = dict(type='Colorizer', generator=dict(type='TwoConvs'))\n")
    return path


def save_checkpoint(path, generator, prefix='generator.', **more):
    state = {prefix + key: value for key, value in generator.state_dict().items()}
    torch.save({'meta': {}, 'state_dict': state | more}, path)
    return path


def assert_same(module, other):
    assert {k: v.tolist() for k, v in module.state_dict().items()} == {
        k: v.tolist() for k, v in other.state_dict().items()
    }


def test_safetensors_round_trip(tmp_path, generator):
    path = tmp_path / 'new' / 'folder' / 'a.safetensors'
    save_generator(path, generator, CFG)
    loaded = load_generator(path)
    assert_same(loaded, generator)
    assert not loaded.training
    assert os.listdir(path.parent) == ['a.safetensors']
    save_generator(path, generator.state_dict(), CFG)  # over the first
    assert_same(load_generator(path), generator)


def test_file_describes_its_network(tmp_path, two_convs):
    path = tmp_path / 'a.safetensors'
    save_generator(path, two_convs(6), dict(CFG, width=6))
    assert load_generator(path).enter.out_channels == 6
    with safe_open(path, 'pt') as file:
        assert file.metadata()['format'] == 'dualattn_mm.generator.v1'
        assert json.loads(file.metadata()['generator']) == {'type': 'TwoConvs', 'width': 6}


def test_a_weight_that_half_precision_cannot_store_is_refused(tmp_path, generator):
    with torch.no_grad():
        generator.enter.weight[0, 0] = 1e5
    with pytest.raises(ColorizeError, match=r'cannot hold the values of enter\.weight: store'):
        save_generator(tmp_path / 'a', generator, CFG, torch.float16)
    assert not (tmp_path / 'a').exists()
    with torch.no_grad():
        generator.enter.weight[0, 0] = float('inf')
    save_generator(tmp_path / 'a', generator, CFG, torch.float16)


def test_half_precision_is_cast_up(tmp_path, generator):
    save_generator(tmp_path / 'a', generator, CFG, torch.float16)
    with safe_open(tmp_path / 'a', 'pt') as file:
        assert file.get_tensor('enter.weight').dtype == torch.float16
    for value, stored in zip(
        load_generator(tmp_path / 'a').parameters(), generator.parameters(), strict=True
    ):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, stored.half().float(), rtol=0, atol=0)


def test_the_real_network(tmp_path, tiny):
    network = MODELS.build(tiny).eval()
    save_generator(tmp_path / 'a.safetensors', network, tiny)
    lightness = 100 * torch.rand(2, 1, 33, 33)
    with torch.no_grad():
        expected = network(lightness)
        torch.testing.assert_close(load_generator(tmp_path / 'a.safetensors')(lightness), expected)
    pipe = ColorizationPipeline(tmp_path / 'a.safetensors', size=33)
    assert pipe(np.zeros((5, 70), np.uint8)).shape == (5, 70, 3)


def test_loading_draws_no_initial_values(tmp_path, generator):
    save_generator(tmp_path / 'a.safetensors', generator, CFG)
    before = torch.get_rng_state()
    load_generator(tmp_path / 'a.safetensors')
    assert torch.equal(torch.get_rng_state(), before)
    MODELS.build(CFG)
    assert not torch.equal(torch.get_rng_state(), before)


def test_default_size_is_the_training_size_of_the_weights(tmp_path, generator, tiny):
    at_96 = dict(tiny, image_size=96)
    save_generator(tmp_path / 'a.safetensors', MODELS.build(at_96), at_96)
    assert ColorizationPipeline(tmp_path / 'a.safetensors').size == 96
    assert ColorizationPipeline(tmp_path / 'a.safetensors', size=33).size == 33
    assert ColorizationPipeline.from_generator(MODELS.build(tiny)).size == 256
    assert ColorizationPipeline.from_generator(generator).size == 256


def test_large_squares_that_weights_ask_for_make_small_batches(tmp_path, generator, tiny):
    for size, batch_size in ((256, 8), (512, 8), (1024, 2)):
        described = dict(tiny, image_size=size)
        save_generator(tmp_path / 'a.safetensors', MODELS.build(described), described)
        assert ColorizationPipeline(tmp_path / 'a.safetensors').batch_size == batch_size
        assert ColorizationPipeline(tmp_path / 'a.safetensors', size=2048).batch_size == 8


def test_interrupted_save_leaves_the_old_file(tmp_path, generator, monkeypatch):
    path = tmp_path / 'a.safetensors'
    save_generator(path, generator, CFG)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(KeyboardInterrupt):
        save_generator(path, generator, CFG)
    assert os.listdir(tmp_path) == ['a.safetensors']
    assert_same(load_generator(path), generator)


def test_saved_weights_can_be_read_by_whom_other_files_can(tmp_path, generator):
    save_generator(tmp_path / 'a.safetensors', generator, CFG)
    (tmp_path / 'other').touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_config_that_cannot_be_stored(tmp_path, generator):
    with pytest.raises(ColorizeError, match='JSON'):
        save_generator(tmp_path / 'a', generator, dict(type=nn.Conv2d))
    with pytest.raises(ColorizeError, match='type'):
        save_generator(tmp_path / 'a', generator, dict(width=3))


@pytest.mark.parametrize('prefix', ['generator.', 'generator.module.', 'module.generator.'])
def test_checkpoint(tmp_path, generator, config, prefix):
    path = save_checkpoint(tmp_path / 'a.pth', generator, prefix, **{'critic.x': torch.ones(1)})
    loaded = load_generator(path, config)
    assert_same(loaded, generator)
    assert not loaded.training


class Net(BaseModel):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator
        self.critic = nn.Linear(1, 1)

    def forward(self, lightness, mode='tensor'):
        return {'loss': (self.generator(lightness) - 7).abs().mean()}


reads_training_logs = pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'), reason='torch < 2.5 reads no training log'
)


@reads_training_logs
def test_checkpoint_of_a_real_training(tmp_path, generator, config):
    """The checkpoint has a training log, optimizer and scheduler, and the EMA copy as the model."""
    runner = Runner(
        Net(generator),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=dict(
            dataset=[{'lightness': torch.rand(1, 8, 8)} for _ in range(4)],
            batch_size=2,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=3),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1], by_epoch=False),
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
            logger=dict(type='LoggerHook', interval=1),
        ),
        experiment_name=tmp_path.name,
        log_level='ERROR',
    )
    runner.train()
    path = tmp_path / 'work' / 'iter_3.pth'
    with pytest.raises(pickle.UnpicklingError):  # or this test shows nothing
        torch.load(path, weights_only=True)
    averaged = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook').ema_model.module
    assert_same(load_generator(path, config), averaged.generator)
    assert not torch.equal(averaged.generator.leave.bias, generator.leave.bias)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('legacy', [True, False])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, config, legacy):
    content = {'state_dict': {}, 'meta': Evil(tmp_path / 'ran')}
    path = tmp_path / 'a.pth'
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ColorizeError, match=r'cannot load.*mkdir') as error:
        load_generator(path, config)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'ran').exists()


@reads_training_logs
def test_names_allowed_in_the_training_log_execute_nothing(tmp_path):
    """`getattr` occurs in mmengine's checkpoints; here it is used to reach a function."""

    class Attribute:
        def __reduce__(self):
            return getattr, (collections.OrderedDict, 'fromkeys')

    torch.save({'meta': [Attribute(), 3]}, tmp_path / 'a.pth')
    found, epoch = read_checkpoint(tmp_path / 'a.pth')['meta']
    assert not callable(found)
    assert epoch == 3


def test_config_inside_a_checkpoint_is_not_executed(tmp_path, generator, config):
    path = tmp_path / 'a.pth'
    code = f'import os\nos.mkdir({str(tmp_path / "ran")!r})\n'
    state = {f'generator.{k}': v for k, v in generator.state_dict().items()}
    torch.save({'meta': {'cfg': code}, 'state_dict': state}, path)
    load_generator(path, config)
    with pytest.raises(ColorizeError, match='--config'):
        load_generator(path)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('part', ['generator', 'encoder', 'neck', 'head', 'width'])
def test_description_may_not_name_any_function(tmp_path, generator, tiny, part):
    """mmengine's registry imports and calls dotted names, such as os.mkdir."""
    evil = {'type': 'os.mkdir', 'path': str(tmp_path / 'ran')}
    described = evil if part == 'generator' else dict(tiny, **{part: evil})
    save_generator(tmp_path / 'a', generator, described)
    with pytest.raises(ColorizeError, match=r'cannot be used.*--config'):
        load_generator(tmp_path / 'a')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('part', [None, 'encoder', 'neck', 'head'])
def test_description_may_not_import_anything(tmp_path, generator, tiny, monkeypatch, part):
    """mmengine's registry imports the module `registry` of whatever `_scope_` names."""
    (tmp_path / 'helper').mkdir()
    (tmp_path / 'helper' / '__init__.py').write_text(
        f'import os\nos.mkdir({str(tmp_path / "ran")!r})\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tiny if part is None else tiny[part])['_scope_'] = 'helper'
    save_generator(tmp_path / 'a', generator, tiny)
    with pytest.raises(ColorizeError, match='_scope_'):
        load_generator(tmp_path / 'a')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    ('where', 'value'),
    [
        ('image_size', 30000),
        ('image_size', 10**30),
        ('image_size', 0),
        ('image_size', True),
        ('image_size', '256'),
        ('saturation', float('nan')),
        ('saturation', float('inf')),
        ('saturation', -1),
        ('num_queries', 10**8),
        ('encoder.window_size', 10**9),
        ('encoder.window_size', 8.0),
        ('encoder.arch.depths', [10**5, 1, 1, 1]),
        ('encoder.arch.depths', [1] * 99),
        ('encoder.arch.depths', []),
        ('encoder.arch.embed_dims', 8),
        ('encoder.arch.more', 1),
        ('encoder.arch', 'huge'),
        ('encoder.order', ['sda', 'os']),
        ('encoder.with_cp', 1.5),
        ('encoder.init_cfg', {'type': 'Pretrained', 'checkpoint': 'http://example.org/x'}),
        ('neck.out_channels', [[[[]]]]),
        ('head.num_layers', 10**8),
        ('head.upscale', 10**4),
        ('head', []),
        ('init_cfg', None),
    ],
)
def test_description_outside_of_the_schema_is_reported_in_one_line(
    tmp_path, generator, tiny, where, value
):
    *parts, last = where.split('.')
    cfg = tiny
    for part in parts:
        cfg = cfg[part]
    cfg[last] = value
    save_generator(tmp_path / 'a', generator, tiny)
    with pytest.raises(ColorizeError, match=last) as error:
        load_generator(tmp_path / 'a')
    assert '\n' not in str(error.value)
    assert len(str(error.value)) < 500


def write_description(path, generator, text):
    tensors = {key: value.clone() for key, value in generator.state_dict().items()}
    save_file(tensors, path, {'format': 'dualattn_mm.generator.v1', 'generator': text})


@pytest.mark.parametrize(
    'text',
    ['', '[' * 50_000, '9' * 99_000, '{}', '[]', '"x"', 'null', '{"type": {}}', ' ' * 10**6, '\0'],
    ids=lambda text: text[:8],
)
def test_description_that_is_not_a_config_is_reported_in_one_line(tmp_path, generator, text):
    write_description(tmp_path / 'a', generator, text)
    with pytest.raises(ColorizeError, match='description of the network') as error:
        load_generator(tmp_path / 'a')
    assert '\n' not in str(error.value)


def test_network_as_large_as_its_weights_only(tmp_path, generator, tiny):
    """A description within the allowed ranges could still request a hundred gigabytes."""
    tiny['encoder']['arch'].update(embed_dims=[8192] * 2, depths=[32] * 2, stem_channels=8192)
    tiny['neck']['in_channels'] = [8192] * 2
    save_generator(tmp_path / 'a', generator, tiny)
    with pytest.raises(ColorizeError, match='does not fit the network'):
        load_generator(tmp_path / 'a')


def test_parts_that_do_not_fit_each_other_are_found_at_once(tmp_path, tiny):
    tiny['neck']['in_channels'] = (8, 24)  # the encoder's last map has 16
    network = MODELS.build(tiny)
    save_generator(tmp_path / 'a', network, tiny)
    with pytest.raises(ColorizeError, match='cannot colorize: RuntimeError'):
        load_generator(tmp_path / 'a')


@pytest.mark.parametrize('dtype', [torch.int64, torch.complex64, torch.bool, torch.uint8])
@pytest.mark.parametrize('kind', ['safetensors', 'pth'])
def test_tensors_of_another_kind_are_reported(tmp_path, generator, config, dtype, kind):
    state = generator.state_dict()
    state['leave.bias'] = state['leave.bias'].to(dtype)
    path = tmp_path / f'a.{kind}'
    if kind == 'pth':
        torch.save({'state_dict': {f'generator.{k}': v for k, v in state.items()}}, path)
    else:
        save_generator(path, state, CFG)
    name = str(dtype).removeprefix('torch.')
    with pytest.raises(ColorizeError, match=f'1 of another kind .leave.bias {name}'):
        load_generator(path, config)


def test_sparse_tensors_are_reported(tmp_path, generator, config):
    state = generator.state_dict()
    state['leave.weight'] = state['leave.weight'].to_sparse()
    torch.save({f'generator.{k}': v for k, v in state.items()}, tmp_path / 'a.pth')
    with pytest.raises(ColorizeError, match=r'1 of another kind .*float32, sparse_coo'):
        load_generator(tmp_path / 'a.pth', config)


@pytest.mark.parametrize('entry', ['data.pkl', 'data/0'])
def test_compressed_checkpoint_is_refused(tmp_path, generator, config, entry):
    """A file of 4 MB could expand to 8 GB."""
    plain = save_checkpoint(tmp_path / 'a.pth', generator)
    packed = tmp_path / 'b.pth'
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, 'w') as target:
        for info in source.infolist():
            kind = zipfile.ZIP_DEFLATED if info.filename.endswith(entry) else zipfile.ZIP_STORED
            target.writestr(info.filename, source.read(info), kind)
    with pytest.raises(ColorizeError, match=r'cannot load .*b\.pth: it is compressed'):
        load_generator(packed, config)


@pytest.mark.parametrize(
    'content',
    [
        {'state_dict': []},
        {'state_dict': 5, 'meta': 5},
        {'state_dict': {5: torch.zeros(1), 'generator.x': 'text'}},
        {'meta': [[[]]]},
        5,
        'text',
        (torch.zeros(1),),
        torch.zeros(1),
        None,
    ],
    ids=str,
)
def test_checkpoint_without_a_generator_is_reported_in_one_line(tmp_path, config, content):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ColorizeError, match=r'a\.pth has no generator') as error:
        load_generator(tmp_path / 'a.pth', config)
    assert '\n' not in str(error.value)


def test_mismatch_names_keys_and_counts(tmp_path, generator):
    state = generator.state_dict()
    del state['enter.bias']
    state['leave.weight'] = torch.zeros(2, 9, 1, 1)
    state |= {f'other.{i}': torch.zeros(1) for i in range(5)}
    save_generator(tmp_path / 'a', state, CFG)
    with pytest.raises(ColorizeError) as error:
        load_generator(tmp_path / 'a')
    message = str(error.value)
    assert '1 missing (enter.bias)' in message
    assert '5 unexpected (other.0, other.1, other.2, ...)' in message
    assert '1 of another shape (leave.weight (2, 9, 1, 1) for (2, 4, 1, 1))' in message
    assert '\n' not in message


def test_config_goes_before_the_description(tmp_path, two_convs):
    save_generator(tmp_path / 'a', two_convs(6), CFG)  # described wrongly: width 4
    with pytest.raises(ColorizeError, match='another shape'):
        load_generator(tmp_path / 'a')
    config = tmp_path / 'c.py'
    config.write_text("model = dict(generator=dict(type='TwoConvs', width=6))\n")
    assert load_generator(tmp_path / 'a', config).enter.out_channels == 6


def test_safetensors_of_others(tmp_path, generator, config):
    save_file(generator.state_dict(), tmp_path / 'a.safetensors')
    with pytest.raises(ColorizeError, match='--config'):
        load_generator(tmp_path / 'a.safetensors')
    assert_same(load_generator(tmp_path / 'a.safetensors', config), generator)


@pytest.mark.parametrize(
    'content', [b'', b'x', b'hello world, no weights', b'\xff' * 8 + b'{}', b'PK\x03\x04 no zip']
)
def test_files_that_are_no_weights(tmp_path, config, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ColorizeError, match=r'a\.pth') as error:
        load_generator(path, config)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', ['safetensors', 'pth'])
def test_truncated_weights(tmp_path, generator, config, kind):
    path = tmp_path / f'a.{kind}'
    if kind == 'pth':
        save_checkpoint(path, generator)
    else:
        save_generator(path, generator, CFG)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ColorizeError, match=f'a.{kind}'):
        load_generator(path, config)


def test_checkpoint_of_another_model(tmp_path, config):
    torch.save({'state_dict': {'backbone.x': torch.zeros(1)}}, tmp_path / 'a.pth')
    with pytest.raises(ColorizeError, match='generator'):
        load_generator(tmp_path / 'a.pth', config)
    torch.save([torch.zeros(1)], tmp_path / 'a.pth')
    with pytest.raises(ColorizeError, match='generator'):
        load_generator(tmp_path / 'a.pth', config)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('x = 1\n', 'no model.generator'),
        ("model = dict(type='Colorizer')\n", 'no model.generator'),
        ('model = dict(\n', 'SyntaxError'),
        ('x = 1 / 0\n', 'ZeroDivisionError'),
        ("model = dict(generator=dict(type='NoSuchNetwork'))\n", 'NoSuchNetwork'),
        ("model = dict(generator=dict(type='TwoConvs', wide=1))\n", 'wide'),
    ],
)
def test_wrong_configs(tmp_path, generator, text, message):
    save_checkpoint(tmp_path / 'a.pth', generator)
    config = tmp_path / 'c.py'
    config.write_text(text)
    with pytest.raises(ColorizeError, match=message) as error:
        load_generator(tmp_path / 'a.pth', config)
    assert 'c.py' in str(error.value)


def test_missing_files(tmp_path, weights):
    with pytest.raises(ColorizeError, match=r'weights file .*none\.pth does not exist'):
        load_generator(tmp_path / 'none.pth')
    with pytest.raises(ColorizeError, match=r'weights file .* does not exist'):
        load_generator(tmp_path)
    with pytest.raises(ColorizeError, match=r'config file .*none\.py does not exist'):
        load_generator(weights, tmp_path / 'none.py')


def test_default_weights(tmp_path, monkeypatch, generator):
    """The bundled weights are found from any current folder."""
    monkeypatch.chdir(tmp_path)
    shipped = load_generator()
    assert sum(p.numel() for p in shipped.parameters()) == 9_349_088
    assert weights_module.DEFAULT_WEIGHTS.stat().st_size <= 25e6
    monkeypatch.setattr(weights_module, 'DEFAULT_WEIGHTS', tmp_path / 'x.safetensors')
    with pytest.raises(ColorizeError, match=r'weights file .*x\.safetensors does not exist'):
        load_generator()
