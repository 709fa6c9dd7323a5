"""The colorizer's alternating training, against plain torch."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny import GENERATOR
from torch import nn

from dualattn_mm import Colorizer
from dualattn_mm.utils.color_space import lab_to_rgb, rgb_to_lab

CRITIC = dict(type='WassersteinCritic', channels=(4, 8))
SIDE = 16


class Difference(nn.Module):
    """Stands for the perceptual loss, which has its own test."""

    def forward(self, images, targets):
        return 3.0 * (images - targets).square().mean()


@pytest.fixture
def make_model(perturb):
    def make(**kwargs):
        torch.manual_seed(1)
        model = Colorizer(GENERATOR, CRITIC, **kwargs)
        model.perceptual = Difference()
        nn.init.normal_(model.generator.head.to_ab.weight, std=0.1)
        return model.train()

    return make


def batch(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, SIDE, SIDE)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return dict(inputs=list(images))


def optimizers(model):
    # Not the paper's: Adam and RMSprop make steps of one size out of rounding errors.
    return (
        torch.optim.SGD(model.generator.parameters(), lr=1e-2),
        torch.optim.SGD(model.critic.parameters(), lr=1e-2),
    )


def wrappers(model, wrapper=OptimWrapper, **kwargs):
    generator, critic = optimizers(model)
    return OptimWrapperDict(
        generator=wrapper(generator, **kwargs), critic=wrapper(critic, **kwargs)
    )


def values(network):
    return {k: v.detach().clone() for k, v in network.named_parameters()}


def largest(network):
    return max(p.detach().abs().max().item() for p in network.parameters())


def changed(network, before):
    return {k for k, v in network.named_parameters() if not torch.equal(v, before[k])}


@pytest.mark.parametrize('n_critic', [1, 2])
def test_steps_are_those_of_the_definition(make_model, n_critic):
    """Three iterations of the specification, written down in plain torch."""
    model = make_model(n_critic=n_critic, adversarial=dict(type='WassersteinLoss', loss_weight=0.7))
    plain = copy.deepcopy(model)
    wrapper, (of_generator, of_critic) = wrappers(model), optimizers(plain)
    for seed in range(3):
        data = batch(seed=seed)
        logs = model.train_step(data, wrapper)

        real = torch.stack(data['inputs']) / 255
        lab = rgb_to_lab(real)
        for _ in range(n_critic):
            with torch.no_grad():
                ab = plain.generator(lab[:, :1]).clamp(-128, 127)
                fake = lab_to_rgb(torch.cat((lab[:, :1], ab), 1))
            loss_critic = plain.critic(2 * fake - 1).mean() - plain.critic(2 * real - 1).mean()
            of_critic.zero_grad()
            loss_critic.backward()
            of_critic.step()
            for parameter in plain.critic.parameters():
                parameter.data = parameter.data.clamp(-0.01, 0.01)
        ab = plain.generator(lab[:, :1])
        fake = lab_to_rgb(torch.cat((lab[:, :1], ab.clamp(-128, 127)), 1))
        ab_l1 = (ab - lab[:, 1:]).abs().mean()
        perceptual = 3 * F.mse_loss(fake, real)
        adversarial = -0.7 * plain.critic(2 * fake - 1).mean()
        of_generator.zero_grad()
        (0.1 * ab_l1 + perceptual + adversarial).backward()
        of_generator.step()

        expected = dict(
            loss_l1=0.1 * ab_l1,
            ab_l1=ab_l1,
            loss_perceptual=perceptual,
            loss_adversarial=adversarial,
            loss=0.1 * ab_l1 + perceptual + adversarial,
            loss_critic=loss_critic,
        )
        assert set(logs) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(logs[name].detach(), value.detach(), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(('trained', 'other'), [('generator', 'critic'), ('critic', 'generator')])
def test_each_step_changes_its_own_network_alone(make_model, monkeypatch, trained, other):
    model = make_model()
    wrapper = wrappers(model)
    # The other network's step is left out, so whatever changes there is this step's doing.
    monkeypatch.setattr(wrapper[other], 'update_params', lambda loss: None)
    monkeypatch.setattr(model, 'weight_clip', 100.0)
    before = {name: values(getattr(model, name)) for name in (trained, other)}
    model.train_step(batch(), wrapper)
    assert not changed(getattr(model, other), before[other])
    assert len(changed(getattr(model, trained), before[trained])) > 0.8 * len(before[trained])
    assert all(p.grad is None for p in getattr(model, other).parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('clip', [0.01, 0.002])
def test_critic_is_clipped_after_its_step(make_model, clip):
    model = make_model(**({} if clip == 0.01 else dict(weight_clip=clip)))
    assert largest(model.critic) > 0.1
    model.train_step(batch(), wrappers(model))
    assert largest(model.critic) == pytest.approx(clip)
    assert largest(model.generator) > 0.1


def test_gradients_of_several_batches_make_one_step(make_model):
    """Two halves of a batch give the critic of the whole batch, and nothing moves before."""
    model, whole = make_model(), make_model()
    halves, wrapper = batch(4)['inputs'], wrappers(model, accumulative_counts=2)
    before = values(model)
    model.train_step(dict(inputs=halves[:2]), wrapper)
    assert not changed(model, before), 'neither trained nor clipped'
    model.train_step(dict(inputs=halves[2:]), wrapper)
    whole.train_step(dict(inputs=halves), wrappers(whole))
    for ours, theirs in zip(model.critic.parameters(), whole.critic.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert len(changed(model.generator, before_of(before, 'generator'))) > 0.8 * len(
        values(model.generator)
    )


def before_of(state, network):
    return {k.removeprefix(f'{network}.'): v for k, v in state.items() if k.startswith(network)}


def test_bfloat16(make_model):
    class Bfloat16(OptimWrapper):
        """mmengine's AmpOptimWrapper as it would be on a CPU."""

        def optim_context(self, model):
            return torch.autocast('cpu', torch.bfloat16)

    model, precise = make_model(), make_model()
    seen = {}
    for name in ('generator', 'critic'):
        convolution = next(m for m in getattr(model, name).modules() if isinstance(m, nn.Conv2d))
        convolution.register_forward_hook(lambda m, x, y, name=name: seen.update({name: y.dtype}))
    before = values(model)
    logs = model.train_step(batch(), wrappers(model, Bfloat16))
    expected = precise.train_step(batch(), wrappers(precise))
    assert seen == dict(generator=torch.bfloat16, critic=torch.bfloat16)
    assert len(changed(model, before)) > 0.8 * len(before)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    for name in ('loss_l1', 'loss_perceptual'):
        torch.testing.assert_close(logs[name], expected[name], rtol=5e-2, atol=0)


def test_mode_loss_has_the_generator_s_losses(make_model):
    model = make_model()
    images = torch.rand(2, 3, SIDE, SIDE)
    losses = model(images, mode='loss')
    assert set(losses) == {'loss_l1', 'ab_l1', 'loss_perceptual', 'loss_adversarial'}
    fake = model(images)
    torch.testing.assert_close(losses['loss_adversarial'], -model.critic(2 * fake - 1).mean())
    torch.testing.assert_close(losses['loss_perceptual'], model.perceptual(fake, images))


def test_keys_of_the_state_dict_begin_with_the_networks(make_model):
    keys = make_model().state_dict()
    assert {key.split('.')[0] for key in keys} == {'generator', 'critic'}
    assert set(keys) == {name for name, _ in make_model().named_parameters()}


def test_critic_without_its_optimizer_raises(make_model):
    model = make_model()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="'generator' and 'critic'"):
        model.train_step(batch(), wrapper)


@pytest.mark.parametrize('wrong', [dict(n_critic=0), dict(weight_clip=0), dict(n_critic=1.5)])
def test_wrong_arguments_are_reported(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f'{name}={value}'):
        Colorizer(GENERATOR, CRITIC, **wrong)
