"""The encoder in training: gradients, checkpointing, drop path, frozen stages and weights."""

import copy

import pytest
import torch
from small_encoder import ARCH, gradients, small
from torch import nn

from dualattn_mm.models.backbones.attention import DualBlock


@pytest.mark.parametrize('order', [('sda', 'fca'), ('ca', 'da')])
def test_every_parameter_receives_a_gradient(order, perturb):
    model = perturb(small(order=order))
    _, grads = gradients(model, torch.randn(2, 3, 75, 70))
    bad = [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]
    assert not bad


@pytest.mark.parametrize('drop_path_rate', [0.0, 0.6])
@pytest.mark.parametrize('order', [('sda',), ('fca',), ('sda', 'fca'), ('da', 'ca')])
def test_checkpointing_changes_nothing_but_recomputes(order, drop_path_rate, perturb):
    plain = perturb(small(order=order, drop_path_rate=drop_path_rate))
    saving = small(order=order, drop_path_rate=drop_path_rate, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    calls = dict.fromkeys(order, 0)
    for name, module in saving.named_modules():
        if name.endswith('.attn'):
            kind = name.split('.')[-2]

            def hook(*_, kind=kind):
                calls[kind] += 1

            module.register_forward_pre_hook(hook)
    x = torch.randn(4, 3, 40, 56)
    (outs, grads), (same_outs, same_grads) = gradients(plain, x), gradients(saving, x)
    half_blocks = sum(ARCH['depths'])
    assert calls == dict.fromkeys(order, 2 * half_blocks), 'forward and recomputation'
    torch.testing.assert_close(same_outs, outs)
    torch.testing.assert_close(same_grads, grads)
    gradients(saving.eval(), x)
    assert calls == dict.fromkeys(order, 3 * half_blocks), 'no recomputation in evaluation'


def label_residuals(block):
    """Let each residual branch of a block add a power of 10 and nothing else: (count)."""
    power = 0
    for name, module in block.named_modules():
        if name.endswith(('.proj', '.fc2')):
            nn.init.zeros_(module.weight)
            nn.init.constant_(module.bias, 10.0**power)
            power += 1
    return power


def residuals_kept(block, samples, dim):
    """Per sample and residual branch, the factor that the branch got: 0, or 1 / keep."""
    added = block(torch.zeros(samples, 1, 2, dim, dtype=torch.float64))
    assert torch.equal(added, added[:, :1, :1, :1].expand_as(added)), 'one decision per sample'
    return added[:, 0, 0, 0]


@pytest.mark.parametrize('kinds', [('sda', 'fca'), ('da', 'ca')])
def test_drop_path_acts_on_all_four_residuals_of_a_pair(kinds):
    block = DualBlock(8, kinds, 3, 4, 8, drop_path_rates=(0.5, 0.5)).double()
    assert label_residuals(block) == 4
    kept = residuals_kept(block, 512, 8)
    # Kept branches are doubled, so each sum is 2 * (a number of four binary digits).
    digits = torch.tensor([[int(d) for d in f'{value / 2:04.0f}'] for value in kept.tolist()])
    assert digits.unique().tolist() == [0, 1]
    torch.testing.assert_close(kept, 2 * (digits @ torch.tensor([1000, 100, 10, 1])).double())
    assert ((digits.double().mean(0) - 0.5).abs() < 0.12).all()
    assert digits.unique(dim=0).shape[0] == 16, 'the four decisions are independent'
    assert (residuals_kept(block.eval(), 8, 8) == 1111).all()


def test_drop_path_rates_rise_linearly_to_the_last_half_block():
    rate = 0.6
    model = small(drop_path_rate=rate).double()
    expected = torch.linspace(0, rate, 2 * sum(ARCH['depths']), dtype=torch.float64).tolist()
    frequencies = []
    for stage, dim in zip(model.stages, ARCH['embed_dims'], strict=True):
        for block in stage.blocks:
            assert label_residuals(block) == 4
            pair = [expected.pop(0), expected.pop(0)]
            scales = [1 / (1 - r) for r in pair for _ in range(2)]
            left = residuals_kept(block, 2500, dim)
            for i in reversed(range(4)):  # the largest power first
                unit = scales[i] * 10**i
                kept = (left > 0.9 * unit).double()
                left = left - kept * unit
                frequencies.append((1 - kept.mean().item(), pair[i // 2]))
            assert left.abs().amax() < 1e-6, 'a kept branch is divided by its rate of survival'
    assert not expected
    assert all(abs(actual - wanted) < 0.04 for actual, wanted in frequencies)
    assert all(actual == 0 for actual, wanted in frequencies if wanted == 0)


def test_drop_path_is_inactive_in_evaluation():
    model = small(drop_path_rate=0.9)
    x = torch.randn(2, 3, 40, 40)
    first = model(x)[3]
    assert not torch.equal(first, model(x)[3])
    model.eval()
    reference = small().eval()
    reference.load_state_dict(model.state_dict())
    assert torch.equal(model(x)[3], reference(x)[3])


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 2, 4])
def test_frozen_stages_freeze(frozen_stages):
    model = small(frozen_stages=frozen_stages, drop_path_rate=0.5, with_cp=True).train()
    prefixes = ['stem.'] if frozen_stages >= 0 else []
    for i in range(frozen_stages):
        prefixes += [f'downsamples.{i}.', f'stages.{i}.', f'norm{i}.']
    prefixes = tuple(prefixes)
    before = copy.deepcopy(model.state_dict())
    parameters = dict(model.named_parameters())
    frozen = {name for name in parameters if name.startswith(prefixes)}
    if frozen_stages < 4:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        gradients(model, torch.randn(4, 3, 64, 64))
        optimizer.step()
    assert {name for name, p in parameters.items() if p.grad is None} == frozen
    after = model.state_dict()
    assert {k for k in before if torch.equal(before[k], after[k])} == frozen
    for _ in range(2):
        training = {k for k, m in model.named_modules() if m.training and k not in ('', 'stages')}
        assert not [name for name in training if f'{name}.'.startswith(prefixes)]
        assert training or frozen_stages == 4
        model.eval().train()


def test_stages_after_the_last_output_are_left_out(perturb):
    model = perturb(small(out_indices=(0, 1))).train()
    calls = []
    model.stages[2].blocks[0].register_forward_hook(lambda *_: calls.append(1))
    _, grads = gradients(model, torch.randn(1, 3, 40, 40))
    assert not calls
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name, grad in grads.items() if grad is not None} == trained
    assert not [n for n in trained if n.startswith(('stages.2', 'stages.3', 'downsamples.2'))]
    assert model.state_dict().keys() - {'norm2.weight', 'norm3.weight'} >= trained


def test_mmengine_init_cfg_loads_a_checkpoint(tmp_path):
    source = small()
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone.')
    model = small(order=('fca', 'sda'), init_cfg=init_cfg)
    model.init_weights()
    assert all(
        torch.equal(value, source.state_dict()[k]) for k, value in model.state_dict().items()
    )


def test_init_weights_without_init_cfg_keeps_the_initialization():
    model = small()
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_trains_as_a_plain_module():
    model = small(out_indices=(3,), gap_before_final_norm=True)
    classifier = nn.Linear(24, 3)
    optimizer = torch.optim.AdamW([*model.parameters(), *classifier.parameters()], lr=1e-2)
    x, target = torch.randn(3, 3, 33, 33), torch.tensor([0, 1, 2])
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(classifier(model(x)[0]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
