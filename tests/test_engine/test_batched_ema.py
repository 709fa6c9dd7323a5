"""The average of all parameters in one call, against mmengine's."""

import copy

import pytest
import torch
from mmengine.model import MomentumAnnealingEMA
from torch import nn

from dualattn_mm.engine.hooks.generator_ema import BatchedEMA


@pytest.mark.parametrize('arguments', [{}, dict(interval=2), dict(update_buffers=True)], ids=str)
def test_averages_are_mmengines(arguments):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averages = [
        kind(copy.deepcopy(model), momentum=0.1, gamma=4, **arguments)
        for kind in (MomentumAnnealingEMA, BatchedEMA)
    ]
    for _ in range(8):
        model(torch.randn(5, 3))
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        for average in averages:
            average.update_parameters(model)
    expected, found = (average.state_dict() for average in averages)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    assert found['steps'] == 8
