"""ColorFormer's decoder: colors looked up in a memory of what things look like.

Ji et al., "ColorFormer: Image Colorization via Color Memory Assisted Hybrid-Attention Transformer",
ECCV 2022. Written from that description; README.md says what is chosen where it is silent.
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
_AB_UNIT = 50.0  # CIELAB units; that of the lightness as encoders get it


class Memory(NamedTuple):
    """What `projects/colorformer/build_color_memory.py` finds in photos.

    semantics: (S, D) float32, the semantic centers.
    colors: (S, N, 2) float32, CIELAB units: the ab centers of each, the commonest first.
    """

    semantics: Tensor
    colors: Tensor


def write_memory(path: Path, memory: Memory) -> None:
    """Write a memory as a safetensors file, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    tensors = {name: value.contiguous() for name, value in memory._asdict().items()}
    atomic_write_bytes(path, save(tensors, {'format': FORMAT}))


def read_memory(path: str | Path) -> Memory:
    """Read a file of `write_memory`.

    Raises:
        FileNotFoundError: if there is none.
        UserError: if it is damaged or something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'no color memory {path}: projects/colorformer/build_color_memory.py builds one from '
            'photos'
        )
    tensors, metadata = read_safetensors(path)
    if metadata.get('format') != FORMAT:
        raise UserError(f'{path} is no file of projects/colorformer/build_color_memory.py')
    if set(tensors) != set(Memory._fields):
        raise UserError(f'{path} is damaged: it holds {", ".join(sorted(tensors)) or "nothing"}')
    return Memory(**tensors)


@MODELS.register_module()
class ColorMemory(BaseModule):
    """Soft assignment of every pixel to semantic centers, whose colors help to predict its own.

    A head in place of ColorAttention. A projection of the pixel's features is compared with the
    centers by a scaled dot product; the softmax over them weighs their ab centers. That prior is
    concatenated to the features, and two convolutions and a pixel shuffle make ab of both.

    The memory is a part of the weights and never trained. It is read when training starts; a
    checkpoint has it.

    Args:
        in_channels: channels of the map.
        num_semantics: S, the semantic centers.
        num_colors: N, the ab centers of each.
        semantic_channels: D, of a semantic center.
        memory: a file of build_color_memory.py; None where a checkpoint is loaded.
        upscale: the output's side over the map's.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: for an argument outside of what is described here.
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
        # No numbers, so that a memory that was never read cannot pass for one of gray.
        self.register_buffer('semantics', torch.full((num_semantics, semantic_channels), torch.nan))
        self.register_buffer('colors', torch.full((num_semantics, num_colors, 2), torch.nan))
        self._is_known_to_be_read = False
        self.query = nn.Conv2d(in_channels, semantic_channels, 1)
        self.fuse = nn.Conv2d(in_channels + 2 * num_colors, in_channels, 3, padding=1)
        self.norm = nn.LayerNorm(in_channels)
        self.to_ab = nn.Conv2d(in_channels, 2 * upscale**2, 3, padding=1)
        self.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Read the memory: mmengine calls this before training, and faults are told then.

        Raises:
            FileNotFoundError: if there is no such file.
            UserError: if it is damaged, or the memory is of another size.
        """
        super().init_weights()
        if self.memory is None:
            return
        for name, found in read_memory(self.memory)._asdict().items():
            own = getattr(self, name)
            if found.shape != own.shape:
                raise UserError(
                    f'the color memory {self.memory} has {name} of shape {tuple(found.shape)}, '
                    f'and the network {tuple(own.shape)}'
                )
            own.copy_(found)

    def prior(self, x: Tensor) -> Tensor:
        """Look colors up.

        Args:
            x: (B, in_channels, h, w).

        Returns:
            (B, 2 * num_colors, h, w), CIELAB units: a and b of the commonest color, then of the
            next, each the mean over the semantic centers by their weights.

        Raises:
            UserError: if there is no memory yet.
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
                'the color memory is empty: memory=FILE of the head names one of '
                'projects/colorformer/build_color_memory.py, which is read when training starts'
            )
        self._is_known_to_be_read = True
