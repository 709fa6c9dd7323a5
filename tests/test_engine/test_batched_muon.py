"""Muon for all matrices of a shape at once, against timm's Muon for one after the other."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, OPTIMIZERS
from timm.optim import Muon
from tiny import GENERATOR

from dualattn_mm.engine.batched_muon import BatchedMuon

ARGUMENTS = dict(lr=0.02, weight_decay=0.1, fallback_lr_scale=0.3, ns_steps=4)


@pytest.fixture
def networks():
    """The same network twice, with two blocks of the same shapes."""
    arch = dict(GENERATOR['encoder']['arch'], depths=(1, 2))
    encoder = dict(GENERATOR['encoder'], arch=arch)
    first = MODELS.build(dict(GENERATOR, encoder=encoder)).double()
    return first, copy.deepcopy(first)


def step(optimizer, network, seed):
    generator = torch.Generator().manual_seed(seed)
    for i, p in enumerate(network.parameters()):
        p.grad = None if i == 3 else torch.randn(p.shape, generator=generator, dtype=p.dtype)
    before = [p.grad for p in network.parameters()]
    optimizer.step()
    assert all(p.grad is grad for p, grad in zip(network.parameters(), before, strict=True))


def changes(network, start):
    """Return how far each parameter is from the start, by name."""
    return {k: v - start[k] for k, v in network.state_dict().items()}


@pytest.mark.parametrize('nesterov', [True, False])
def test_steps_are_timms(networks, nesterov):
    start = copy.deepcopy(networks[0].state_dict())
    optimizers = [
        kind(network.parameters(), nesterov=nesterov, **ARGUMENTS)
        for kind, network in zip((Muon, BatchedMuon), networks, strict=True)
    ]
    for seed in range(3):
        for optimizer, network in zip(optimizers, networks, strict=True):
            step(optimizer, network, seed)
    expected, found = (changes(network, start) for network in networks)
    for name, change in expected.items():
        # Both orthogonalize in bfloat16, but add up in different orders.
        assert (found[name] - change).norm() <= 0.02 * change.norm(), name
    states = [optimizer.state_dict()['state'] for optimizer in optimizers]
    assert [v.keys() for v in states[0].values()] == [v.keys() for v in states[1].values()]


def test_a_state_of_timms_muon_can_be_continued(networks):
    plain = Muon(networks[0].parameters(), **ARGUMENTS)
    step(plain, networks[0], 0)
    networks[1].load_state_dict(networks[0].state_dict())
    batched = BatchedMuon(networks[1].parameters(), **ARGUMENTS)
    batched.load_state_dict(copy.deepcopy(plain.state_dict()))
    start = copy.deepcopy(networks[0].state_dict())
    for optimizer, network in zip((plain, batched), networks, strict=True):
        step(optimizer, network, 1)
    expected, found = (changes(network, start) for network in networks)
    for name, change in expected.items():
        assert (found[name] - change).norm() <= 0.02 * change.norm(), name


@pytest.mark.parametrize('argument', [dict(algo='adamuon'), dict(conv_mode='batched')], ids=str)
def test_other_ways_of_timm_are_rejected(networks, argument):
    optimizer = BatchedMuon(networks[0].parameters(), **ARGUMENTS, **argument)
    with pytest.raises(ValueError, match=next(iter(argument))):
        step(optimizer, networks[0], 0)


def test_fallback_groups_and_a_closure(networks):
    [first, second] = networks
    calls = []
    optimizer = OPTIMIZERS.build(
        dict(
            type='dualattn_mm.engine.batched_muon.BatchedMuon',
            params=[dict(params=list(first.parameters()), use_muon=False)],
            **ARGUMENTS,
        )
    )
    plain = Muon([dict(params=list(second.parameters()), use_fallback=True)], **ARGUMENTS)
    for network in networks:
        for p in network.parameters():
            p.grad = torch.ones_like(p)
    assert optimizer.step(lambda: calls.append(torch.is_grad_enabled()) or 5) == 5
    plain.step()
    assert calls == [True]
    for p, q in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(p, q)
