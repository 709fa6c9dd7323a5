"""Weights of others: what is read, what is refused, and how differences are told."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from dualattn_mm.utils.checkpoint_file import (
    is_safetensors,
    load_frozen,
    read_safetensors,
    read_state_dict,
    read_weights,
    state_differences,
)
from dualattn_mm.utils.errors import UserError

STATE = {'a.weight': torch.arange(6.0).view(2, 3), 'a.bias': torch.tensor([1.0, -1.0])}


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
    assert str(error.value).startswith('no weights of VGG19: ')


def test_read_weights_of_no_file_names_who_needs_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'x\.pth: the loss needs the weights of VGG19'):
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
    with pytest.raises(UserError, match=r'x\.pth does not hold the weights of the teacher: .*bias'):
        load_frozen(nn.Linear(3, 2), dict(weight=STATE['a.weight']), 'x.pth', 'the teacher')
