"""The work and cost of a call, against calculations by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from projects.benchmark.memory import peak_memory
from projects.benchmark.peers import Case, Network
from projects.benchmark.step import Setting, Step, count_macs, tf32


def network(make):
    return Network('net', '', 'net', '', lambda case: make())


class Probe(nn.Module):
    """A network that records its calls."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        y = self.conv(x)
        self.seen = dict(
            shape=tuple(x.shape),
            nhwc=x.is_contiguous(memory_format=torch.channels_last),
            weight_nhwc=self.conv.weight.is_contiguous(memory_format=torch.channels_last),
            dtype=y.dtype,
            training=self.training,
            inference=torch.is_inference_mode_enabled(),
        )
        return [y, (y,)]


@pytest.mark.parametrize('mode', ['infer', 'train'])
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dtype', ['float32', 'tf32', 'bfloat16', 'float16'])
def test_call_follows_the_setting(mode, layout, dtype, cpu):
    case = Case('c', 8, 6)
    step = Step(network(Probe), Setting(case, mode, dtype, 'eager', layout, 2), cpu)
    before = step.module.conv.weight.clone()
    step()
    train, nhwc = mode == 'train', layout == 'channels_last'
    assert step.module.seen == dict(
        shape=(2, 3, 8, 6),
        nhwc=nhwc,
        weight_nhwc=nhwc,
        dtype=torch.float32 if dtype == 'tf32' else getattr(torch, dtype),
        training=train,
        inference=not train,
    )
    assert torch.equal(step.module.conv.weight, before) != train
    assert step.module.conv.weight.grad is None


def test_weights_can_be_converted_instead_of_autocast(setting, cpu):
    setting = replace(setting, dtype='bfloat16-weights', layout='usual')
    step = Step(replace(network(Probe), layout='channels_last'), setting, cpu)
    step()
    assert step.module.conv.weight.dtype == step.input.dtype == torch.bfloat16
    assert step.module.seen['dtype'] == torch.bfloat16
    assert step.module.seen['nhwc']
    assert step.module.seen['weight_nhwc']
    with pytest.raises(ValueError, match='bfloat16-weights, eager is for inference only'):
        Step(network(Probe), replace(setting, mode='train'), cpu)


def test_cuda_graph_is_for_inference_only(setting, cpu):
    setting = replace(setting, mode='train', execution='graph')
    with pytest.raises(ValueError, match='float32, graph is for inference only'):
        Step(network(Probe), setting, cpu)


@pytest.mark.parametrize('allowed', [True, False])
def test_tf32_is_switched_and_restored(allowed):
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    with tf32(allowed):
        assert [switch.allow_tf32 for switch in switches] == [allowed, allowed]
    assert [switch.allow_tf32 for switch in switches] == before


def test_training_minimizes_the_mean_square(setting, cpu):
    step = Step(network(lambda: nn.Conv2d(3, 1, 1)), replace(setting, mode='train'), cpu)
    loss = step.module(step.input).square().mean()
    for _ in range(20):
        step()
    assert step.module(step.input).square().mean() < loss


def test_same_weights_and_input_every_time(setting, cpu):
    first, second = (Step(network(Probe), setting, cpu) for _ in range(2))
    assert torch.equal(first.input, second.input)
    assert torch.equal(first.module.conv.weight, second.module.conv.weight)


def test_compiled_on_demand(setting, cpu):
    """Not called here: the first call takes the C++ compiler half a minute."""
    step = Step(network(Probe), replace(setting, execution='compile'), cpu)
    assert isinstance(step.forward, torch._dynamo.OptimizedModule)
    assert step.forward.conv.weight is step.module.conv.weight


# ---- operations ----


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 2, stride=2)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return F.scaled_dot_product_attention(x, x, x)


def test_macs_of_convolution_and_attention():
    pixels = 4 * 6  # of the map, after the convolution
    conv = pixels * 8 * 3 * 2 * 2
    projections = 4 * pixels * 8 * 8
    attention = 2 * pixels * pixels * 8
    expected = conv + projections + 2 * attention
    assert count_macs(network(Attention), Case('c', 8, 12)) == expected


def test_no_figure_where_it_cannot_be_counted():
    class NeedsData(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 1)

        def forward(self, x):
            return self.conv(x) if x.sum().item() else x

    assert count_macs(network(NeedsData), Case.square(4)) is None


# ---- memory ----


def test_peak_memory_of_known_tensors(cpu):
    resting = torch.empty(5000)

    def call():
        a = torch.empty(1000)  # 4000 bytes
        b = torch.empty(2000)  # with it 12000: the peak
        del a
        c = torch.empty(500)  # 10000
        del b
        resting.add_(c[0])

    assert peak_memory(call, cpu) == 12000
    assert peak_memory(lambda: None, cpu) == 0


def test_tensor_that_each_call_replaces(cpu):
    """It is held before and after, so only what exceeds it counts."""
    held = [torch.empty(1000)]

    def free_first():
        held.clear()
        held.append(torch.empty(1000))

    def free_last():
        held.append(torch.empty(1000))
        del held[0]

    assert peak_memory(free_first, cpu) == 0
    assert peak_memory(free_last, cpu) == 4000


def test_peak_memory_of_inference_and_training(setting, cpu):
    def make():
        layers = [nn.Conv2d(3, 16, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)]
        return nn.Sequential(*layers)

    step = Step(network(make), setting, cpu)
    image, batch = 4 * 4, 2
    # The convolution's map and the activation's; thereafter less.
    assert peak_memory(step, cpu) == 2 * 4 * batch * 16 * image

    step = Step(network(make), replace(setting, mode='train'), cpu)
    step()  # the optimizer's state belongs to what rests
    weights = 4 * step.parameters
    assert weights < peak_memory(step, cpu) < 4 * weights
