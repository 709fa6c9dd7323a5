"""Third-party weights: reading, rejecting, and describing differences."""

import os
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

from dualattn_mm.utils.checkpoint_file import (
    READS_TRAINING_LOGS,
    is_safetensors,
    load_frozen,
    read_checkpoint,
    read_safetensors,
    read_state_dict,
    read_weights,
    state_differences,
)
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.training_log import STAND_INS

STATE = {'a.weight': torch.arange(6.0).view(2, 3), 'a.bias': torch.tensor([1.0, -1.0])}
needs_logs = pytest.mark.skipif(not READS_TRAINING_LOGS, reason='needs torch 2.5')


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('wrap', [None, 'state_dict', 'model'])
def test_read_state_dict_of_a_checkpoint(tmp_path, wrap):
    torch.save({wrap: STATE, 'epoch': 3} if wrap else STATE, tmp_path / 'x.pth')
    assert same(read_state_dict(tmp_path / 'x.pth'), STATE)


def test_read_state_dict_of_a_safetensors_file_whatever_its_name(tmp_path):
    save_file(STATE, tmp_path / 'x.pth', {'format': 'ours'})
    assert is_safetensors(tmp_path / 'x.pth')
    assert read_state_dict(tmp_path / 'x.pth').keys() == STATE.keys()
    state, metadata = read_safetensors(tmp_path / 'x.pth')
    assert torch.equal(state['a.weight'], STATE['a.weight'])
    assert metadata == {'format': 'ours'}


def test_the_training_log_of_mmengine_is_read_past_where_it_is_allowed(tmp_path):
    path = tmp_path / 'x.pth'
    log = HistoryBuffer(np.ones(2), np.ones(2))
    torch.save(dict(state_dict=STATE, message_hub=dict(log=log)), path)
    assert same(read_state_dict(path), STATE)
    with pytest.raises(UserError, match='objects other than weights') as error:
        read_weights(path, 'VGG19', 'the loss')
    assert str(error.value).startswith('the weights of VGG19 cannot be used: ')


class Harm:
    def __reduce__(self):
        return os.mkdir, ('harmed',)


@pytest.mark.parametrize(
    'content',
    [
        pytest.param(dict(log=HistoryBuffer([1.0], [1]), harm=Harm()), marks=needs_logs),
        pytest.param(dict(log=np.array([Harm()], object)), marks=needs_logs),
        [Harm()],
    ],
)
def test_read_checkpoint_runs_nothing_and_names_the_remedy(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, 'x.pth')
    with pytest.raises(UserError) as error:
        read_checkpoint('x.pth')
    assert re.fullmatch(
        r'cannot load x\.pth: it is damaged, or holds .*mkdir.*, which could run code; '
        r'if you trust it, store its weights alone: torch\.save\(.*NEW\)',
        str(error.value),
    )
    assert not (tmp_path / 'harmed').exists()


@needs_logs
def test_read_checkpoint_rebuilds_the_log_of_mmengine(tmp_path):
    log = HistoryBuffer([0.5, 0.25, 4.0], [1, 1, 2], max_length=3)
    classes = np.asfortranarray([[1, 2, 3], [4, 5, 6]], '>i2')
    content = dict(
        state_dict=OrderedDict(STATE),
        message_hub=dict(
            log_scalars=OrderedDict({'train/loss': log}),
            runtime_info=dict(eta=np.float64(2.5), done=np.bool_(True), name='a'),
        ),
        meta=dict(dataset_meta=dict(classes=(classes, np.array(['cat', 'dog'])))),
        param_schedulers=[dict(anneal=OneCycleParamScheduler._annealing_cos, step=3)],
    )
    content['state_dict']._metadata = {'': dict(version=1)}
    torch.save(content, tmp_path / 'x.pth')
    found = read_checkpoint(tmp_path / 'x.pth')
    assert same(found['state_dict'], STATE)
    assert found['state_dict']._metadata == {'': dict(version=1)}
    again = found['message_hub']['log_scalars']['train/loss']
    assert type(again) is HistoryBuffer
    assert again.data[0].tolist() == [0.5, 0.25, 4.0]
    assert again.data[1].tolist() == [1, 1, 2]
    assert again.mean() == 4.75 / 4
    again.update(8.0)
    assert again.data[0].tolist() == [0.25, 4.0, 8.0]
    assert found['message_hub']['runtime_info'] == dict(eta=2.5, done=True, name='a')
    numbers, names = found['meta']['dataset_meta']['classes']
    assert numbers.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert names.tolist() == ['cat', 'dog']
    assert found['param_schedulers'] == [dict(step=3)]
    torch.save(found, tmp_path / 'again.pth')  # as the next checkpoint of the training


def test_stand_ins_are_known_by_either_name():
    """torch 2.5 and 2.6 look at `__name__`, later ones at `__qualname__`."""
    assert all(stand_in.__name__ == stand_in.__qualname__ for stand_in in STAND_INS)


@needs_logs
def test_read_checkpoint_of_lists_within_lists_takes_no_time(tmp_path):
    content = []
    for _ in range(60):
        content = [content, (content, content)]
    torch.save(content, tmp_path / 'x.pth')
    assert len(read_checkpoint(tmp_path / 'x.pth')) == 2


@needs_logs
def test_mmengine_downloads_once_and_reads_checkpoints_of_its_hooks(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    fetched = []

    def download(url, path, digest, progress):
        fetched.append(url)
        torch.save(dict(state_dict=STATE, log=HistoryBuffer([2.0], [1])), path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):
        found = CheckpointLoader.load_checkpoint('http://host/x.pth?raw=true', 'cpu')
        assert same(found['state_dict'], STATE)
        assert found['log'].current() == 2
    assert fetched == ['http://host/x.pth?raw=true']


def test_files_of_the_same_name_from_two_places_are_two(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def download(url, path, digest, progress):
        torch.save({'url': url}, path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for url in ('http://host/run1/x.pth', 'http://host/run2/x.pth', 'http://host/run2/x.pth?v=2'):
        assert CheckpointLoader.load_checkpoint(url, 'cpu') == {'url': url}
    # A published file can be put into torch's cache by hand.
    (tmp_path / 'checkpoints').mkdir(exist_ok=True)
    torch.save({}, tmp_path / 'checkpoints' / 'resnet50-0676ba61.pth')
    assert CheckpointLoader.load_checkpoint('http://host/resnet50-0676ba61.pth', 'cpu') == {}


def test_read_weights_error_names_the_user_of_a_missing_file(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'x\.pth does not exist: the loss needs the weights of VGG19'
    ):
        read_weights(tmp_path / 'x.pth', 'VGG19', 'the loss')


def test_state_differences_by_kind():
    own = dict(a=torch.zeros(2), b=torch.zeros(3, 1), c=torch.zeros(1), e=torch.zeros(1))
    given = dict(b=torch.zeros(4), c=torch.ones(1), d=torch.zeros(1), e=torch.zeros(1).int())
    assert state_differences(own, given) == {
        'missing': ['a'],
        'unexpected': ['d'],
        'of another shape': ['b (4,) for (3, 1)'],
        'of another kind': ['e int32'],
    }
    assert not any(state_differences(own, own).values())


def test_load_frozen_fills_a_network_on_the_meta_device():
    with torch.device('meta'):
        network = nn.Sequential(nn.Linear(3, 2))
    state = {'0.weight': STATE['a.weight'].half(), '0.bias': STATE['a.bias'].half()}
    load_frozen(network, state, 'x.pth', 'the teacher')
    assert network(torch.ones(1, 3)).tolist() == [[4.0, 11.0]]
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    with pytest.raises(
        UserError, match=r'x\.pth does not contain the weights of the teacher: .*bias'
    ):
        load_frozen(nn.Linear(3, 2), dict(weight=STATE['a.weight']), 'x.pth', 'the teacher')
