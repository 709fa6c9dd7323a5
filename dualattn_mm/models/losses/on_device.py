"""Move the networks of losses, which belong to no model, to the device of its images."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar('Network', bound=nn.Module)


def on_device(network: Network, device: torch.device) -> Network:
    """Return the network on a device.

    In each step, `to` would take milliseconds to find out that nothing has to be moved.
    """
    return network if next(network.parameters()).device == device else network.to(device)
