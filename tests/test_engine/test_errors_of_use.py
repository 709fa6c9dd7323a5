"""What the user can put right is one line, wherever it is found; a mistake in a program is not."""

import pickle
import zipfile

import pytest
import torch
from mmengine.registry import TRANSFORMS
from test_run import TESTING, unique

from dualattn_mm.engine import run
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import ColorizeError, RunError


@TRANSFORMS.register_module()
class Mistake:
    """A program with a mistake, in the data pipeline."""

    def __call__(self, results):
        return results['no such key']


@pytest.fixture
def status(config, tmp_path, capfd):
    """Trains as tools/train.py does; gives the exit status and what stands on stderr."""

    def status_(**options):
        work_dir = str(tmp_path / 'work')
        resume = options.pop('resume', None)
        code = run_command(
            lambda: run.train(
                str(config), work_dir, resume=resume, cfg_options=dict(unique(), **options)
            )
        )
        return code, capfd.readouterr().err

    return status_


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.filterwarnings('ignore:This DataLoader will create')
def test_too_many_damaged_photos(status, tmp_path, workers):
    for name in ('1.png', '4.png'):
        (tmp_path / 'photos' / name).write_bytes(b'no photo')
    options = {
        'train_dataloader.num_workers': workers,
        'train_dataloader.dataset.max_broken': 1,
        'train_cfg.max_iters': 50,
    }
    code, err = status(**options)
    assert code == 2
    (line,) = [line for line in err.splitlines() if 'error' in line]
    assert line.startswith('error: 2 photos cannot be read, more than max_broken=1: ')
    for name in ('1.png', '4.png'):
        assert str(tmp_path / 'photos' / name) in line
    assert 'Traceback' not in err


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.slow
def test_a_mistake_in_the_pipeline_shows_where_it_is(status, workers):
    with pytest.raises(KeyError) as info:
        status(
            **{
                'train_dataloader.num_workers': workers,
                'train_dataloader.dataset.pipeline': [dict(type='Mistake')],
            }
        )
    assert 'no such key' in str(info.value)


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        (dict(weight=torch.zeros(2)), 'does not contain the weights of VGG19: '),
        ([1, 2], 'the weights of VGG19 cannot be used: '),
        (b'PK damaged', 'the weights of VGG19 cannot be used: '),
        (None, 'does not exist: '),
    ],
)
def test_wrong_weights_of_vgg19(status, tmp_path, state, message):
    path = tmp_path / 'vgg.pth'
    if isinstance(state, bytes):
        path.write_bytes(state)
    elif state is not None:
        torch.save(state, path)
    code, err = status(**{'model.perceptual': dict(type='VGG19PerceptualLoss', weights=str(path))})
    assert code == 2
    assert err.startswith('error: ')
    assert message in err
    assert str(path) in err
    assert err.count('\n') == 1


def truncated(content):
    return content[: len(content) // 2]


def with_a_flipped_byte(content):
    middle = content.index(b'data.pkl') + 100
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGE = {
    'truncated': truncated,
    'empty': lambda content: b'',
    'text': lambda content: b'<html>not found</html>',
    'flipped': with_a_flipped_byte,
}


@pytest.fixture(scope='module')
def trained():
    """The bytes of a checkpoint, as soon as a test has trained for it."""
    return []


@pytest.fixture
def checkpoint(config, tmp_path, trained):
    path = tmp_path / 'work' / 'iter_1.pth'
    if not trained:
        run.train(str(config), str(path.parent), cfg_options={**unique(), 'train_cfg.max_iters': 1})
        trained.append(path.read_bytes())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(trained[0])
    return path


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_checkpoints_are_reported(status, config, tmp_path, capfd, checkpoint, damage):
    bad = checkpoint.with_name('bad.pth')
    bad.write_bytes(DAMAGE[damage](checkpoint.read_bytes()))
    config.write_text(config.read_text() + TESTING)
    capfd.readouterr()

    def test():
        return run.evaluate(str(config), str(bad), str(tmp_path / 't'), cfg_options=unique())

    calls = (
        lambda: status(load_from=str(bad)),
        lambda: status(resume=str(bad)),
        lambda: (run_command(test), capfd.readouterr().err),
    )
    for call in calls:
        code, err = call()
        assert code == 2
        assert err.startswith(f'error: cannot load {bad}: it is damaged')
        assert err.count('\n') == 1


def test_truncated_checkpoint_error_names_the_previous_one(status, checkpoint):
    content = checkpoint.read_bytes()
    folder = checkpoint.parent
    for step in (3, 5, 7):
        whole = step == 3
        (folder / f'iter_{step}.pth').write_bytes(content if whole else truncated(content))
    (folder / 'epoch_4.pth').write_bytes(content)  # of another training
    for last, reason in ((7, 'it is damaged'), (9, 'does not exist')):
        (folder / 'last_checkpoint').write_text(str(folder / f'iter_{last}.pth'))
        code, err = status(resume='auto')
        assert code == 2
        assert f'{folder}/iter_{last}.pth' in err
        assert reason in err
        assert err.endswith(f'; the previous one is complete: --resume {folder}/iter_3.pth\n')
        assert err.count('\n') == 1


def test_a_zip_file_that_is_no_checkpoint(status, tmp_path):
    path = tmp_path / 'photos.zip'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('a.txt', 'a')
    code, err = status(load_from=str(path))
    assert (code, err.count('\n')) == (2, 1)
    assert err.startswith(f'error: cannot load {path}: ')


@pytest.mark.parametrize(
    ('change', 'part'),
    [
        (dict(meta=5), 'meta is a int'),
        (dict(meta=dict(epoch=0, iter='one')), 'meta.iter is a str'),
        (dict(state_dict=[]), 'state_dict is a list'),
        (dict(message_hub=[]), 'message_hub is a list'),
        (None, 'its content is a list'),
    ],
)
def test_checkpoint_with_parts_of_another_type_is_reported_in_one_line(
    status, checkpoint, change, part
):
    content = torch.load(checkpoint, weights_only=True)
    bad = checkpoint.with_name('bad.pth')
    torch.save([content] if change is None else content | change, bad)
    code, err = status(resume=str(bad))
    assert code == 2
    assert err.startswith(f'error: {bad} is not a checkpoint: {part}')
    assert err.count('\n') == 1


def test_checkpoint_with_complex_weights_is_reported_in_one_line(status, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    name = next(name for name, value in content['state_dict'].items() if value.dim() > 1)
    content['state_dict'][name] = content['state_dict'][name].to(torch.complex64)
    bad = checkpoint.with_name('bad.pth')
    torch.save(content, bad)
    code, err = status(load_from=str(bad))
    assert code == 2
    [line] = [line for line in err.splitlines() if line.startswith('error')]
    assert f'1 of another kind ({name} complex64)' in line


@pytest.mark.parametrize('content', [b'\xff\xfe\x00 damaged', b''])
def test_damaged_pointer_to_the_last_checkpoint_is_reported_in_one_line(
    status, checkpoint, content
):
    checkpoint.with_name('last_checkpoint').write_bytes(content)
    code, err = status(resume='auto')
    assert code == 2
    assert 'last_checkpoint is damaged' in err
    assert err.count('\n') == 1


def test_weights_alone_are_nothing_to_resume(status, checkpoint):
    weights = checkpoint.with_name('weights.pth')
    torch.save(dict(state_dict=torch.load(checkpoint, weights_only=True)['state_dict']), weights)
    assert status(load_from=str(weights))[0] == 0
    code, err = status(resume=str(weights))
    assert code == 2
    assert err.startswith(f'error: {weights} has weights, but no training state to resume')
    published = weights.with_suffix('.safetensors')
    published.touch()
    code, err = status(resume=str(published))
    assert code == 2
    assert err.startswith(f'error: cannot resume: {published} contains only weights; ')
    assert err.count('\n') == 1


def test_an_error_of_loading_is_not_confused_with_one_of_training(config, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError('a mistake')

    monkeypatch.setattr('dualattn_mm.models.colorizers.colorizer.rgb_to_lab', fail)
    with pytest.raises(RuntimeError, match='a mistake'):
        run.train(str(config), str(tmp_path / 'work'), cfg_options=unique())


@pytest.mark.parametrize('error', [RunError('no'), ColorizeError('no'), FileNotFoundError('no')])
def test_errors_of_the_user_survive_pickling(error):
    """As they must to come from another process."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == 'no'
