"""ColorFormer's decoder, which looks up colors in a memory of semantic features.

Ji et al., "ColorFormer: Image Colorization via Color Memory Assisted Hybrid-Attention Transformer",
ECCV 2022. The code follows a short description, not the paper; README.md lists our choices.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from safetensors.torch import save
from torch import Tensor, nn

from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.checkpoint_file import read_safetensors
from dualattn_mm.utils.checks import require_natural
from dualattn_mm.utils.errors import UserError

FORMAT = 'dualattn_mm.color_memory.v1'
_AB_UNIT = 50.0  # CIELAB units; encoders get the lightness in the same unit


class Memory(NamedTuple):
    """A color memory, which `projects/colorformer/build_color_memory.py` builds from photos.

    semantics: (S, D) float32, the semantic centers.
    colors: (S, N, 2) float32, the ab centers of each in CIELAB units, the most common one first.
    """

    semantics: Tensor
    colors: Tensor


def write_memory(path: Path, memory: Memory) -> None:
    """Write a memory as a safetensors file, atomically.

    Raises:
        OSError: if the file cannot be written.
    """
    tensors = {name: value.contiguous() for name, value in memory._asdict().items()}
    atomic_write_bytes(path, save(tensors, {'format': FORMAT}))


def read_memory(path: str | Path) -> Memory:
    """Read a file of `write_memory`.

    Raises:
        FileNotFoundError: if the file does not exist.
        UserError: if it is damaged or not a color memory.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: projects/colorformer/build_color_memory.py builds it from '
            'photos'
        )
    tensors, metadata = read_safetensors(path)
    if metadata.get('format') != FORMAT:
        raise UserError(f'{path} was not written by projects/colorformer/build_color_memory.py')
    if set(tensors) != set(Memory._fields):
        raise UserError(f'{path} is damaged: it contains {", ".join(sorted(tensors)) or "nothing"}')
    return Memory(**tensors)


@MODELS.register_module()
class ColorMemory(BaseModule):
    """Assign every pixel softly to semantic centers, whose colors help to predict its color.

    This head replaces ColorAttention. A projection of the features of a pixel is compared with the
    centers by a scaled dot product, and the softmax over the centers weights their ab centers. This
    prior is concatenated to the features. Two convolutions and a pixel shuffle predict ab from
    both.

    The memory is a part of the weights and is never trained. It is read when training starts, and
    it is stored in checkpoints.

    Args:
        in_channels: channels of the map.
        num_semantics: S, the number of semantic centers.
        num_colors: N, the number of ab centers in each.
        semantic_channels: D, the channels of a semantic center.
        memory: a file of build_color_memory.py; None if a checkpoint is loaded.
        upscale: scale factor from the map to the output.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        in_channels: int = 256,
        num_semantics: int = 512,
        num_colors: int = 4,
        semantic_channels: int = 64,
        memory: str | None = None,
        upscale: int = 4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_natural(
            in_channels=in_channels,
            num_semantics=num_semantics,
            num_colors=num_colors,
            semantic_channels=semantic_channels,
            upscale=upscale,
        )
        self.memory = memory
        self.upscale = upscale
        # NaN, so that a memory that was never read is not mistaken for gray.
        self.register_buffer('semantics', torch.full((num_semantics, semantic_channels), torch.nan))
        self.register_buffer('colors', torch.full((num_semantics, num_colors, 2), torch.nan))
        self._is_known_to_be_read = False
        self.query = nn.Conv2d(in_channels, semantic_channels, 1)
        self.fuse = nn.Conv2d(in_channels + 2 * num_colors, in_channels, 3, padding=1)
        self.norm = nn.LayerNorm(in_channels)
        self.to_ab = nn.Conv2d(in_channels, 2 * upscale**2, 3, padding=1)

    def init_weights(self) -> None:
        """Read the memory. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if the file does not exist.
            UserError: if it is damaged, or the memory has another size.
        """
        super().init_weights()
        if self.memory is None:
            return
        for name, found in read_memory(self.memory)._asdict().items():
            own = getattr(self, name)
            if found.shape != own.shape:
                raise UserError(
                    f'the color memory {self.memory} has {name} of shape {tuple(found.shape)}, '
                    f'but the network has {tuple(own.shape)}'
                )
            own.copy_(found)

    def prior(self, x: Tensor) -> Tensor:
        """Look up colors.

        Args:
            x: (B, in_channels, h, w).

        Returns:
            (B, 2 * num_colors, h, w), CIELAB units: a and b of the most common color, then of the
            next one, each as the weighted mean over the semantic centers.

        Raises:
            UserError: if the memory has not been read.
        """
        self._require_memory()
        query = self.query(x).permute(0, 2, 3, 1)
        logits = query @ self.semantics.T * self.semantics.shape[1] ** -0.5
        return (logits.softmax(dim=-1) @ self.colors.flatten(1)).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the color of a map.

        Args:
            x: (B, in_channels, h, w).

        Returns:
            (B, 2, upscale * h, upscale * w): a and b, CIELAB units, unbounded.

        Raises:
            UserError: if there is no memory yet.
        """
        x = torch.cat((x, self.prior(x) / _AB_UNIT), dim=1)
        x = F.gelu(self.norm(self.fuse(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return F.pixel_shuffle(self.to_ab(x), self.upscale)

    def _require_memory(self) -> None:
        if self._is_known_to_be_read or self.semantics.is_meta:
            return
        if not (self.semantics.isfinite().all() and self.colors.isfinite().all()):
            raise UserError(
                'the color memory is empty: set memory of the head to a file of '
                'projects/colorformer/build_color_memory.py, which is read when training starts'
            )
        self._is_known_to_be_read = True
