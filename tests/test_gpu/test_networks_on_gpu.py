"""Every network on a GPU, forward and backward, against the CPU in float64."""

import copy

import pytest
import torch
from gpu_networks import (
    NEEDS,
    NETWORKS,
    assert_norm_within,
    assert_within,
    build,
    maps_and_gradients,
    reference,
)

import dualattn_mm  # noqa: F401  registers the networks
import projects.colorformer.color_memory
import projects.colorformer.encoder_blocks  # noqa: F401

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures('full_precision')]


@pytest.fixture(scope='module', params=NETWORKS)
def case(request):
    """A network on the CPU, its input, and outputs and gradients in float64."""
    config, shape = NETWORKS[request.param]
    pytest.importorskip(NEEDS.get(request.param, 'torch'))
    network = build(config)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    if shape[1] == 1:
        x = 50 + 20 * x  # lightness
    return network, x, reference(network, x)


def on_device(case, device, autocast=None):
    network, x, expected = case
    copied = copy.deepcopy(network).to(device)
    return zip(maps_and_gradients(copied, x.to(device), autocast), expected, strict=True)


def test_float32_equals_the_cpu(case, device):
    for found, expected in on_device(case, device):
        assert all(value.device.type == device.type for value in found.values())
        assert_within(found, expected, 1e-4)


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float16, 2e-2), (torch.bfloat16, 5e-2)], ids=str
)
def test_half_precision_stays_close(case, device, dtype, tolerance):
    """bfloat16 has three bits less."""
    autocast = torch.autocast(device.type, dtype)
    (maps, expected), (gradients, theirs) = on_device(case, device, autocast)
    assert_norm_within(maps, expected, tolerance)
    assert_norm_within(gradients, theirs, 2 * tolerance)
