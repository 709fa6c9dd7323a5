"""The comparisons with the CPU find differences; this needs no GPU."""

import math

import pytest
import torch
from gpu_networks import assert_norm_within, assert_within


@pytest.mark.parametrize('compare', [assert_within, assert_norm_within])
def test_differences_and_nan_are_found(compare):
    expected = dict(one=torch.tensor([1.0, -4.0]).double(), other=torch.zeros(3).double())
    found = {name: value.float() for name, value in expected.items()}
    compare(found, expected, 1e-4)
    for wrong in (-4.001, math.nan):
        with pytest.raises(AssertionError):
            compare(dict(found, one=torch.tensor([1.0, wrong])), expected, 1e-4)
    with pytest.raises(AssertionError):
        compare(dict(one=found['one']), expected, 1e-4)
    with pytest.raises(AssertionError):
        compare(dict(found, other=torch.tensor([0, 1e-2, 0])), expected, 1e-4)
