"""What the tools do with configs and options, up to the Runner."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

from dualattn_mm.apis.weights import load_generator, save_generator
from dualattn_mm.engine import run
from dualattn_mm.engine.configs import load_config
from dualattn_mm.models import MultiscalePyramidTransformer
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import RunError, UserError


@METRICS.register_module()
class MeanColor(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['pred_img'].mean().item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results), count=len(results))


TESTING = """
test_dataloader = dict(
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=train_dataloader['dataset'],
)
test_cfg = dict()
test_evaluator = dict(type='MeanColor')
"""


@pytest.fixture
def built(monkeypatch, tmp_path):
    """The configs that would have been run, in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(Runner, 'from_cfg', classmethod(lambda cls, cfg: seen.append(cfg) or Idle))
    monkeypatch.setattr(run, 'end_with_parent', lambda: None)  # it would end pytest
    return seen


class Idle:
    @staticmethod
    def register_hook(hook):
        pass

    @staticmethod
    def train():
        pass


def unique(name='run'):
    return dict(experiment_name=f'{name}-{os.urandom(4).hex()}')


def test_trains_resumes_and_tests(config, tmp_path):
    work_dir = str(tmp_path / 'work')
    config.write_text(config.read_text() + TESTING)
    run.train(str(config), work_dir, cfg_options=dict(unique(), **{'train_cfg.max_iters': 2}))
    run.train(str(config), work_dir, resume='auto', cfg_options=unique())
    path = tmp_path / 'work' / 'iter_3.pth'
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint['meta']['iter'] == 3
    steps = {int(state['step']) for state in checkpoint['optimizer']['state'].values()}
    assert steps == {3}
    kept = Config.fromfile(tmp_path / 'work' / 'tiny.py')
    assert kept.default_hooks.checkpoint.type == 'SafeCheckpointHook'

    metrics = run.evaluate(str(config), str(path), work_dir, cfg_options=unique())
    assert metrics['count'] == 7
    assert 0 < metrics['mean'] < 255
    checkpoint['state_dict'].popitem()
    torch.save(checkpoint, path)
    with pytest.raises(RunError, match='does not fit the model: 1 missing'):
        run.evaluate(str(config), str(path), work_dir, cfg_options=unique())


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'is neither a config file nor'),
        ('1 / 0', 'division by zero'),
        ('_base_ = "nix.py"', 'nix.py'),
        ('default_scope = "mmnix"', 'needs mmnix, which is not installed'),
        ('custom_imports = dict(imports=["mmnix.a"])', 'needs mmnix, which is not installed'),
        ('_base_ = "mmrotate::a/b.py"', 'needs mmrotate, which is not installed'),
    ],
)
def test_configs_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / 'config.py'
    if text:
        path.write_text(text)
    with pytest.raises(RunError, match=message) as error:
        run.train(str(path))
    assert '\n' not in str(error.value)


def test_imports_may_come_by_option(config, tmp_path, monkeypatch):
    (tmp_path / 'late_part.py').write_text(
        'from mmengine.registry import METRICS\n'
        'METRICS.register_module("LatePart", module=lambda: None)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert 'LatePart' not in METRICS.module_dict
    load_config(str(config), {'custom_imports.imports': ['late_part']})
    assert 'LatePart' in METRICS.module_dict
    with pytest.raises(RunError, match='not_there'):
        load_config(str(config), {'custom_imports': dict(imports=['not_there'])})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(amp=True), '--amp needs a GPU'),
        (dict(auto_scale_lr=True), 'no auto_scale_lr.base_batch_size'),
        (dict(resume='auto'), 'cannot resume: the folder'),
        (dict(resume='nix.pth'), 'checkpoint nix.pth does not exist'),
        (dict(resume='.'), r'cannot resume: \. is a folder; --work-dir \. --resume continues'),
        (dict(cfg_options={'load_from': '.'}), r'load_from \. is a folder'),
        (dict(cfg_options={'load_from': 'nix.pth'}), 'load_from nix.pth does not exist'),
        (dict(launcher='pytorch'), 'is not set; start the processes with tools/dist_train.sh'),
        (dict(launcher='slurm'), 'is not set; start the processes with tools/slurm_train.sh'),
    ],
)
def test_options_that_cannot_be_used(config, tmp_path, monkeypatch, built, options, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(RunError, match=message):
        run.train(str(config), str(tmp_path / 'work'), **options)
    assert not built


INIT = 'model.generator.encoder.init_cfg'


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (
            dict(type='Pretrained', checkpoint='nix.pth'),
            f'initial weights file nix.pth does not exist; --cfg-options {INIT}.checkpoint=FILE '
            f'sets another file, and {INIT}=None trains from scratch',
        ),
        (
            '{type=Pretrained}',  # what mmengine makes of braces on a command line
            f"{INIT} is '{{type=Pretrained}}', which is not a dict with a type: "
            f'set {INIT}.type=Pretrained {INIT}.checkpoint=FILE',
        ),
        (dict(checkpoint='x.pth'), 'which is not a dict with a type'),
        (['Pretrained'], 'which is not a dict with a type'),
        (dict(type='Pretrained', checkpoint=3), f'{INIT}.checkpoint must be a file or a URL'),
    ],
)
def test_initial_weights_that_cannot_be_used(config, tmp_path, built, given, message):
    with pytest.raises(UserError) as error:
        run.train(str(config), str(tmp_path / 'work'), cfg_options={INIT: given})
    assert message in str(error.value)
    assert not built


def test_missing_photos_name_their_option(config, tmp_path):
    options = {'train_dataloader.dataset.data_root': 'nowhere'}
    with pytest.raises(RunError) as error:
        run.train(str(config), str(tmp_path / 'work'), cfg_options=options | unique())
    assert str(error.value) == (
        'the folder of photos nowhere does not exist; '
        'set its location with --cfg-options train_dataloader.dataset.data_root=...'
    )


def test_tests_that_cannot_be_run(config, tmp_path, built):
    with pytest.raises(RunError, match='no test_dataloader'):
        run.evaluate(str(config), 'nix.pth')
    config.write_text(config.read_text() + TESTING)
    with pytest.raises(RunError, match=r'checkpoint nix\.pth does not exist'):
        run.evaluate(str(config), 'nix.pth')


def test_resume_without_a_checkpoint_starts_from_the_beginning(config, tmp_path, built, capsys):
    run.train(str(config), str(tmp_path), resume='auto')
    assert not built[0].resume
    assert 'starts from the beginning' in capsys.readouterr().out


def test_a_work_folder_that_was_moved_is_resumed(config, tmp_path, built):
    (tmp_path / 'last_checkpoint').write_text('/where/it/was/iter_4.pth')
    with pytest.raises(RunError, match=r'cannot resume: .*last_checkpoint, does not exist'):
        run.train(str(config), str(tmp_path), resume='auto')
    torch.save(dict(state_dict={}), tmp_path / 'iter_4.pth')
    run.train(str(config), str(tmp_path), resume='auto')
    assert built[0].load_from == str(tmp_path / 'iter_4.pth')
    assert built[0].resume


@pytest.mark.parametrize(('steps', 'ended'), [(2, False), (3, True)])
def test_resuming_a_training_that_has_ended_says_so(config, tmp_path, built, capsys, steps, ended):
    path = tmp_path / 'last.pth'
    torch.save(dict(state_dict={}, meta=dict(epoch=0, iter=steps)), path)
    run.train(str(config), str(tmp_path), resume=str(path))
    said = f'the training has already ended: {path} is its last step\n'
    assert capsys.readouterr().out == (said if ended else '')


def test_a_start_that_fails_keeps_the_checkpoint_of_an_earlier_training(config, tmp_path):
    (tmp_path / 'last_checkpoint').write_text('iter_4.pth')
    options = {'train_dataloader.dataset.data_root': 'nowhere'}
    with pytest.raises(RunError, match='folder of photos nowhere does not exist'):
        run.train(str(config), str(tmp_path), cfg_options=options | unique())
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_4.pth'


def test_resume_without_its_pointer_names_the_newest_checkpoint(config, tmp_path, built):
    names = 'iter_4.pth', 'iter_12.pth', 'best_psnr_iter_12.pth', 'teacher_224.pth'
    for age, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    with pytest.raises(RunError, match=r'--resume .*/iter_12\.pth continues from the newest'):
        run.train(str(config), str(tmp_path), resume='auto')
    assert not built


@pytest.mark.parametrize(
    ('launcher', 'rank', 'locks'),
    [('pytorch', '0', True), ('pytorch', '1', False), ('none', '1', True)],
)
def test_one_process_locks_the_folder_of_its_training(
    config, tmp_path, monkeypatch, built, launcher, rank, locks
):
    monkeypatch.setattr(run, 'start_cpu_processes', lambda cfg: None)
    monkeypatch.setenv('RANK', rank)
    run.train(str(config), str(tmp_path / 'work'), launcher=launcher)
    lock = tmp_path / 'work' / '.lock'
    assert lock.exists() == locks
    assert not locks or lock.read_text().startswith(f'process {os.getpid()} on ')


@pytest.mark.parametrize(('launcher', 'place'), [('mpi', '2'), ('none', '0')])
def test_mpirun_tells_which_gpu_a_process_has(config, monkeypatch, built, launcher, place):
    monkeypatch.setattr(run, 'start_cpu_processes', lambda cfg: None)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('OMPI_COMM_WORLD_RANK', '5')
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_RANK', '2')
    run.train(str(config), launcher=launcher)
    assert os.environ['LOCAL_RANK'] == place
    assert len(built) == 1


@pytest.mark.parametrize('here', [2, 4])
def test_mpirun_needs_the_address_of_the_first_machine_only_on_several(
    config, monkeypatch, built, here
):
    monkeypatch.setattr(run, 'start_cpu_processes', lambda cfg: None)
    monkeypatch.delenv('MASTER_ADDR', raising=False)
    for name, value in dict(RANK=0, LOCAL_RANK=0, SIZE=4, LOCAL_SIZE=here).items():
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', str(value))
    if here < 4:
        with pytest.raises(RunError, match=r'on several machines, MASTER_ADDR must be'):
            run.train(str(config), launcher='mpi')
        return
    run.train(str(config), launcher='mpi')
    assert os.environ['MASTER_ADDR'] == '127.0.0.1'


@pytest.mark.parametrize(
    'text',
    [
        '[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 5000ms',
        '[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer',
    ],
)
def test_a_process_that_stands_still_is_a_line(config, tmp_path, monkeypatch, built, text):
    def fail():
        raise RuntimeError(text)

    monkeypatch.setattr(Idle, 'train', fail)
    monkeypatch.setattr(run, 'start_cpu_processes', lambda cfg: None)
    monkeypatch.setenv('RANK', '0')
    with pytest.raises(RuntimeError, match='gloo'):
        run.train(str(config))
    with pytest.raises(RunError, match=r'another process .* hangs .*gloo.*timeout'):
        run.train(str(config), launcher='pytorch')


def test_amp_for_one_and_for_several_optimizers(config, monkeypatch, built):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    options = {'type': 'AmpOnGpuOptimWrapper', 'on_cpu': True, 'enabled': True}
    options = {f'optim_wrapper.{name}': value for name, value in options.items()}
    run.train(str(config), amp=True, cfg_options=options)
    assert built[0].optim_wrapper.type == 'AmpOptimWrapper'
    assert not {'on_cpu', 'enabled'} & set(built[0].optim_wrapper)
    several = """
optim_wrapper = dict(
    _delete_=True,
    constructor='Several',
    generator=dict(optimizer=dict(type='Adam')),
    critic=dict(type='OptimWrapper', optimizer=dict(type='Adam')),
)
"""
    config.with_name('several.py').write_text(f'_base_ = {str(config)!r}{several}')
    run.train(str(config.with_name('several.py')), amp=True)
    wrapper = built[1].optim_wrapper
    assert wrapper.generator.type == wrapper.critic.type == 'AmpOptimWrapper'


def test_hooks_are_added_once_and_keep_their_arguments(config, built):
    config.write_text(
        config.read_text() + "custom_hooks = [dict(type='StrictLoadHook', ignore=['x'])]\n"
        'auto_scale_lr = dict(base_batch_size=16)\n'
    )
    run.train(str(config), auto_scale_lr=True)
    (cfg,) = built
    types = [hook.type for hook in cfg.custom_hooks]
    assert sorted(types) == sorted(run._HOOKS)
    assert cfg.custom_hooks[types.index('StrictLoadHook')].ignore == ['x']
    assert cfg.default_hooks.checkpoint == dict(
        type='SafeCheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=3
    )
    assert cfg.auto_scale_lr.enable
    assert cfg.work_dir == 'work_dirs/tiny'


NEW_STYLE = """
from mmengine.config import read_base
from mmengine.hooks import CheckpointHook
from dualattn_mm.engine.hooks import StrictLoadHook
custom_hooks = [dict(type=StrictLoadHook, ignore=['x'])]
default_hooks = dict(checkpoint=dict(type=CheckpointHook, interval=3))
"""
SCOPED = """
custom_hooks = [dict(type='mmengine.StrictLoadHook', ignore=['x'])]
default_hooks = dict(checkpoint=dict(type='mmengine.CheckpointHook', interval=3))
"""


@pytest.mark.parametrize('text', [NEW_STYLE, SCOPED])
def test_hooks_are_known_however_a_config_names_them(tmp_path, built, text):
    path = tmp_path / 'config.py'
    path.write_text(text)
    run.train(str(path), str(tmp_path))
    (cfg,) = built
    # A second one, without the first's arguments, would stop what the first lets pass.
    assert len(cfg.custom_hooks) == len(run._HOOKS)
    assert [hook.ignore for hook in cfg.custom_hooks if 'ignore' in hook] == [['x']]
    assert cfg.default_hooks.checkpoint == dict(type='SafeCheckpointHook', interval=3)


@pytest.mark.parametrize('error', [RunError('no such thing'), FileNotFoundError('no such thing')])
def test_an_error_of_use_is_reported_in_one_line(error, capsys):
    def fail():
        raise error

    assert run_command(fail) == 2
    assert capsys.readouterr().err == 'error: no such thing\n'


def published(config, path, **changes):
    """A safetensors file of random weights of the config's generator, and its state dict."""
    cfg = dict(Config.fromfile(str(config)).model.generator.to_dict(), **changes)
    network = MODELS.build(dict(cfg))
    save_generator(path, network, cfg, dtype=torch.float16)
    return load_generator(path).state_dict()


@pytest.mark.parametrize('average', ['EMAHook', 'GeneratorEMAHook'])
def test_training_and_test_start_from_a_state_dict(config, tmp_path, average):
    """What the remedy for an unsafe checkpoint writes."""
    with config.open('a') as file:
        file.write(f"\ncustom_hooks = [dict(type='{average}')]\n{TESTING}")
    state = MODELS.build(Config.fromfile(str(config)).model).state_dict()
    start, work = str(tmp_path / 'start.pth'), str(tmp_path / 'work')
    torch.save(state, start)
    options = {'load_from': start, 'optim_wrapper.optimizer.lr': 0.0, 'train_cfg.max_iters': 1}
    run.train(str(config), work, cfg_options=dict(unique(), **options))
    trained = torch.load(tmp_path / 'work' / 'iter_1.pth', weights_only=True)['state_dict']
    for name, value in state.items():
        assert torch.equal(trained[name], value), name
    assert run.evaluate(str(config), start, work, cfg_options=unique())['count'] == 7


def test_training_starts_from_published_weights(config, tmp_path, monkeypatch):
    def init_weights(network):  # as of a network that reads a pretrained encoder here
        super(type(network), network).init_weights()
        nn.init.ones_(network.head.queries)

    monkeypatch.setattr(MultiscalePyramidTransformer, 'init_weights', init_weights, raising=False)
    state = published(config, tmp_path / 'start.safetensors')
    with config.open('a') as file:
        file.write("\ncustom_hooks = [dict(type='GeneratorEMAHook')]\n")
    initial = dict(type='Constant', layer='Linear', val=0.5)
    options = {
        'load_from': str(tmp_path / 'start.safetensors'),
        'model.generator.encoder.init_cfg': initial,  # which the weights outrank
        'optim_wrapper.optimizer.lr': 0.0,
        'train_cfg.max_iters': 1,
    }
    run.train(str(config), str(tmp_path / 'work'), cfg_options=dict(unique(), **options))
    trained = torch.load(tmp_path / 'work' / 'iter_1.pth', weights_only=True)['state_dict']
    for name, value in state.items():
        assert torch.equal(trained[f'generator.{name}'], value), name


def assert_resumed_equals_whole(config, folder, options, steps):
    """A training that is resumed after some of three steps ends as one that is not."""

    def train(name, steps, resume=None):
        changes = dict(unique(), **options, **{'train_cfg.max_iters': steps})
        run.train(str(config), str(folder / name), resume, cfg_options=changes)
        return torch.load(folder / name / f'iter_{steps}.pth', weights_only=True)['state_dict']

    whole = train('whole', 3)
    train('parts', steps)
    for name, value in train('parts', 3, 'auto').items():
        assert torch.equal(whole[name], value), name


def test_resume_after_load_from_uses_the_last_checkpoint(config, tmp_path):
    published(config, tmp_path / 'start.safetensors')
    options = {'load_from': str(tmp_path / 'start.safetensors')}

    assert_resumed_equals_whole(config, tmp_path, options, 2)


def test_training_refuses_published_weights_of_another_network(config, tmp_path):
    published(config, tmp_path / 'start.safetensors', num_queries=5)
    options = {'load_from': str(tmp_path / 'start.safetensors')}
    with pytest.raises(UserError, match=r'start\.safetensors does not fit the network: '):
        run.train(str(config), str(tmp_path / 'work'), cfg_options=dict(unique(), **options))


def test_batch_crops_are_equal_after_resuming(config, tmp_path):
    """The crops are drawn in the model, which RepeatableHook seeds for each step."""
    squares = [
        dict(type='LoadPhoto'),
        dict(type='ColorizationSquash', size=36),
        dict(type='PackColorization', ground_truth=False),
    ]
    options = {
        'model.data_preprocessor': dict(type='ColorizationBatchCrop', size=64, scale=(0.3, 1.0)),
        'model.train_sizes': (32, 64),
        'train_dataloader.dataset.pipeline': squares,
        'train_dataloader.dataset.cache_gib': 0.01,
        'train_dataloader.dataset.cache_side': 36,
        'train_dataloader.dataset.cache_square': True,
    }

    assert_resumed_equals_whole(config, tmp_path, options, 1)
