"""Convert DaViT-T, -S or -B of timm or mmpretrain to initial weights of DualAttention.

python tools/model_converters/davit_to_dualattn.py davit_tiny.safetensors -o start.pth
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from dualattn_mm.models.backbones.dual_attention import DualAttention
from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.checkpoint_file import read_state_dict
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError, shortened, summarize, writing_to
from dualattn_mm.version import __version__

# Pairs per stage. If DualAttention has fewer pairs, the last ones are dropped.
DAVIT_DEPTHS = {'tiny': (1, 1, 3, 1), 'small': (1, 1, 9, 1), 'base': (1, 1, 9, 1)}


class _Names(NamedTuple):
    """The names that a library uses for the parts that DaViT and DualAttention share."""

    library: str
    sda: str
    sda_attn: str
    fca: str
    ffn: tuple[str, str]
    downsample: str
    downsample_ends_stage: bool

    def modules(self, depths: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield (name in DualAttention, name in the library) of layers with weight and bias."""
        for i, depth in enumerate(depths):
            if i > 0:
                theirs = f'stages.{i - self.downsample_ends_stage}.downsample'
                yield f'downsamples.{i}.norm', f'{theirs}.norm'
                yield f'downsamples.{i}.conv', f'{theirs}.{self.downsample}'
            for j in range(depth):
                for kind, block, attn in (
                    ('sda', self.sda, self.sda_attn),
                    ('fca', self.fca, 'attn'),
                ):
                    ours, theirs = f'stages.{i}.blocks.{j}.{kind}', f'stages.{i}.blocks.{j}.{block}'
                    yield f'{ours}.norm1', f'{theirs}.norm1'
                    yield f'{ours}.attn.qkv', f'{theirs}.{attn}.qkv'
                    yield f'{ours}.attn.proj', f'{theirs}.{attn}.proj'
                    yield f'{ours}.norm2', f'{theirs}.norm2'
                    yield f'{ours}.ffn.fc1', f'{theirs}.{self.ffn[0]}'
                    yield f'{ours}.ffn.fc2', f'{theirs}.{self.ffn[1]}'

    def output_norms(self, num_stages: int) -> Iterator[tuple[str, str]]:
        """Yield (name in DualAttention, possible name in the library) of the output norms."""
        if self.library == 'timm':
            yield f'norm{num_stages - 1}', 'norm_pre'
            yield f'norm{num_stages - 1}', 'head.norm'
        else:
            yield from ((f'norm{i}', f'norm{i}') for i in range(num_stages))


_LIBRARIES = (
    _Names('timm', '0', 'attn', '1', ('mlp.fc1', 'mlp.fc2'), 'conv', False),
    _Names(
        'mmpretrain',
        'spatial_block',
        'attn.w_msa',
        'channel_block',
        ('ffn.layers.0.0', 'ffn.layers.1'),
        'projection',
        True,
    ),
)


@dataclass(frozen=True)
class ConvertedDaViT:
    """The result of `convert_davit`.

    Attributes:
        state_dict: the parameters of DualAttention as `backbone.*` in float32, and the linear
            classifier as `head.fc.*` if the DaViT has one. These are the names of mmpretrain's
            ImageClassifier.
        library: the library whose names the DaViT used, 'timm' or 'mmpretrain'.
        arch: the argument `arch` of DualAttention.
        depths: pairs of blocks per stage.
        mapped: keys of `state_dict` with values from the DaViT.
        identity: keys of the depthwise convolutions, which are set to the identity.
        initialized: keys without a counterpart in DaViT, with DualAttention's initial values.
        left_out: keys of the DaViT without a counterpart in DualAttention.
    """

    state_dict: dict[str, Tensor]
    library: str
    arch: str | Mapping[str, Any]
    depths: tuple[int, ...]
    mapped: tuple[str, ...]
    identity: tuple[str, ...]
    initialized: tuple[str, ...]
    left_out: tuple[str, ...]

    def count(self, keys: Sequence[str]) -> int:
        """Return the number of parameters in the given keys of `state_dict`."""
        return sum(self.state_dict[key].numel() for key in keys)


def convert_davit(
    davit: Mapping[str, Tensor], arch: str | Mapping[str, Any] | None = None
) -> ConvertedDaViT:
    """Convert the weights of a DaViT to initial weights of DualAttention.

    The blocks compute the same as DaViT's under these conditions: `fca_scale='group'`, `head_dim`
    and `group_dim` equal DaViT's channels per head (32), the windows contain the same pixels, and
    DaViT's positional convolutions are 0. The depthwise kernels are set to the identity. DaViT's
    channel attention is softmax(k^T v) q, so its k, v and q become our q, k and v. The conversion
    is deterministic.

    Args:
        davit: state dict with timm's or mmpretrain's names and any prefix.
        arch: the argument `arch` of DualAttention, for a DaViT of other widths or depths. The
            default is the variant with the shapes of DaViT-T, -S or -B. Pairs that only the DaViT
            has are dropped; pairs that only DualAttention has are initialized.

    Raises:
        UserError: if the weights are not from a DaViT or none of its variants, are incomplete or
            have other shapes.
        ValueError: if `arch` is invalid or has another number of stages than the DaViT.
    """
    davit = {key: value for key, value in davit.items() if isinstance(value, Tensor)}
    prefix, names = _find_library(davit)
    dims, davit_depths = _find_sizes(davit, prefix, names)
    num_stages = len(davit_depths)
    norms = [
        (ours, theirs)
        for ours, theirs in names.output_norms(num_stages)
        if f'{prefix}{theirs}.weight' in davit
    ]
    # The checkpoint gets the norms that the DaViT has, and always the last one.
    out_indices = {num_stages - 1, *(int(ours.removeprefix('norm')) for ours, _ in norms)}
    arch = _find_arch(dims, davit_depths) if arch is None else arch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # No parameter depends on the widths of heads and groups, so 1 fits all cases.
        model = DualAttention(arch, head_dim=1, group_dim=1, out_indices=sorted(out_indices))
    depths = tuple(len(stage['blocks']) for stage in model.stages)
    if len(depths) != num_stages:
        raise ValueError(f'the DaViT has {num_stages} stages, but arch has {len(depths)}')

    shared = [min(pair) for pair in zip(depths, davit_depths, strict=True)]
    sources = {
        f'{ours}.{kind}': f'{prefix}{theirs}.{kind}'
        for ours, theirs in [*names.modules(shared), *norms]
        for kind in ('weight', 'bias')
    }
    state = model.state_dict()
    _check_fit(davit, sources, state)
    state.update({ours: _adapted(ours, davit[theirs]) for ours, theirs in sources.items()})
    identity = _identity_kernels(state, sources)
    state.update(identity)

    state = {f'backbone.{key}': value for key, value in state.items()}
    head = _find_classifier(davit, prefix, names, model.embed_dims[-1])
    state.update({ours: davit[theirs] for ours, theirs in head.items()})
    mapped = (*(f'backbone.{key}' for key in sources), *head)
    identity = tuple(f'backbone.{key}' for key in identity)
    used = {*sources.values(), *head.values()}
    return ConvertedDaViT(
        # Copies, because saving a view would store its whole base tensor.
        state_dict={
            key: value.detach().float().clone(memory_format=torch.contiguous_format)
            for key, value in state.items()
        },
        library=names.library,
        arch=arch,
        depths=depths,
        mapped=mapped,
        identity=identity,
        initialized=tuple(key for key in state if key not in {*mapped, *identity}),
        left_out=tuple(key for key in davit if key not in used),
    )


def _adapted(name: str, value: Tensor) -> Tensor:
    """Convert a parameter of DaViT to the parameter `name` of DualAttention."""
    if '.fca.attn.qkv.' not in name:
        return value
    q, k, v = value.chunk(3)
    return torch.cat((k, v, q))


def _identity_kernels(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return depthwise convolutions that keep the projections in `names` unchanged."""
    kernels = {}
    for name in names:
        if name.endswith('.attn.qkv.weight'):
            conv = name.removesuffix('qkv.weight') + 'dwconv'
            kernels[f'{conv}.weight'] = torch.zeros_like(state[f'{conv}.weight'])
            kernels[f'{conv}.weight'][:, :, 1, 1] = 1
            kernels[f'{conv}.bias'] = torch.zeros_like(state[f'{conv}.bias'])
    return kernels


def _find_library(davit: Mapping[str, Tensor]) -> tuple[str, _Names]:
    """Return the prefix of the keys of the backbone, and the library that the names come from."""
    for names in _LIBRARIES:
        # The names include cpe1 and w_msa, because other networks share the rest of them.
        block = f'stages.0.blocks.0.{names.sda}.'
        first = block + ('cpe1.proj' if names.library == 'timm' else f'{names.sda_attn}.qkv')
        for key in davit:
            if key.endswith(f'{first}.weight'):
                return key.removesuffix(f'{first}.weight'), names
    raise UserError(
        "not a DaViT with timm's or mmpretrain's names; the weights are "
        f'{shortened(list(davit)) or "none"}'
    )


def _find_sizes(
    davit: Mapping[str, Tensor], prefix: str, names: _Names
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the channels and pairs of blocks per stage."""
    depths: dict[int, int] = {}
    for key in davit:
        if match := re.match(r'stages\.(\d+)\.blocks\.(\d+)\.', key.removeprefix(prefix)):
            stage, block = int(match[1]), int(match[2])
            depths[stage] = max(depths.get(stage, 0), block + 1)
    norms = [f'{prefix}stages.{i}.blocks.0.{names.sda}.norm1.weight' for i in range(len(depths))]
    _check_present(davit, norms)
    return (
        tuple(davit[norm].numel() for norm in norms),
        tuple(depths[i] for i in range(len(depths))),
    )


def _find_arch(dims: tuple[int, ...], depths: tuple[int, ...]) -> str:
    for arch, davit_depths in DAVIT_DEPTHS.items():
        if (dims, depths) == (DualAttention.arch_zoo[arch]['embed_dims'], davit_depths):
            return arch
    raise UserError(f'not DaViT-T, -S or -B: it has {depths} pairs of blocks with {dims} channels')


def _find_classifier(
    davit: Mapping[str, Tensor], prefix: str, names: _Names, dim: int
) -> dict[str, str]:
    """Return our and their keys of a linear classifier on `dim` channels; empty without one."""
    outer = prefix if names.library == 'timm' else prefix.removesuffix('backbone.')
    keys = {f'head.fc.{kind}': f'{outer}head.fc.{kind}' for kind in ('weight', 'bias')}
    if not all(key in davit for key in keys.values()):
        return {}
    weight, bias = (davit[key] for key in keys.values())
    return keys if weight.shape == (len(weight), dim) and bias.shape == weight.shape[:1] else {}


def _check_present(davit: Mapping[str, Tensor], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in davit]
    if missing:
        raise UserError(f'the DaViT is incomplete: {summarize(dict(missing=missing))}')


def _check_fit(
    davit: Mapping[str, Tensor], sources: Mapping[str, str], state: Mapping[str, Tensor]
) -> None:
    _check_present(davit, list(sources.values()))
    other = [
        f'{theirs} {tuple(davit[theirs].shape)} for {tuple(state[ours].shape)}'
        for ours, theirs in sources.items()
        if davit[theirs].shape != state[ours].shape
    ]
    if other:
        raise UserError(
            f'not a DaViT of this kind: {len(other)} have another shape ({shortened(other)})'
        )


def convert_davit_file(source: str | os.PathLike, output: str | os.PathLike) -> ConvertedDaViT:
    """Convert the weights in a file with `convert_davit` and write a checkpoint.

    The checkpoint has the names of mmpretrain's ImageClassifier in `state_dict`. A backbone loads
    it with `init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')`. The file is
    written atomically, and missing folders are created.

    Args:
        source: DaViT-T, -S or -B of timm or mmpretrain, as safetensors or a file of torch.save.
        output: the file to write, *.pth.

    Raises:
        UserError: if a file cannot be read or written, or `source` is not such a DaViT.
    """
    source, output = Path(source), Path(output)
    if output.suffix != '.pth':
        raise UserError(f'{output} must end in .pth, because it is a checkpoint for torch.load')
    if output.resolve() == source.resolve():
        raise UserError(f'{output} is the input and would be overwritten: change -o')
    davit = read_state_dict(source)
    try:
        converted = convert_davit(davit)
    except UserError as error:
        raise UserError(f'{source}: {error}') from None
    meta = dict(
        dualattn_mm_version=__version__,
        davit=source.name,
        arch=converted.arch,
        fca_scale='group',
        initialized=list(converted.initialized),
    )
    buffer = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=converted.state_dict), buffer)
    with writing_to(output):
        atomic_write_bytes(output, buffer.getbuffer())
    return converted


def describe(converted: ConvertedDaViT, output: str | os.PathLike) -> str:
    """Describe what was converted, what was not, and how to use the checkpoint."""
    state, head = converted.state_dict, converted.state_dict.get('head.fc.weight')
    classifier = '' if head is None else f', with a classifier of {len(head)} classes'
    initialized = ', '.join(f'{key} {tuple(state[key].shape)}' for key in converted.initialized)
    return f"""\
DaViT of {converted.library} -> DualAttention {converted.arch}{classifier}
from DaViT: {converted.count(converted.mapped):,} parameters
identity (depthwise kernels of queries, keys, values): {converted.count(converted.identity):,}
initialized (not in DaViT): {converted.count(converted.initialized):,}: {initialized}
dropped (not in DualAttention): {', '.join(_summary(converted))}

To start from these weights (head_dim=32, group_dim=32 and window_size=7 are the defaults):
backbone=dict(
    type='DualAttention',
    arch={converted.arch!r},
    fca_scale='group',
    init_cfg=dict(type='Pretrained', checkpoint={os.fspath(output)!r}, prefix='backbone.'),
)"""


def _summary(converted: ConvertedDaViT) -> list[str]:
    """List the dropped keys by layer or whole block, with `*` for numbers."""
    names = []
    for key in converted.left_out:
        block = re.search(r'stages\.(\d+)\.blocks\.(\d+)(?=\.)', key)
        if block and int(block[2]) >= converted.depths[int(block[1])]:
            names.append(key[: block.end()])
        else:
            names.append(re.sub(r'\.\d+(?=\.|$)', '.*', key.rpartition('.')[0] or key))
    return list(dict.fromkeys(names)) or ['nothing']


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('input', metavar='INPUT', help='DaViT weights: .safetensors, or a checkpoint (.pth)')
    add('-o', '--output', required=True, metavar='FILE', help='the checkpoint to write, *.pth')
    args = parser.parse_args()
    return run_command(
        lambda: print(describe(convert_davit_file(args.input, args.output), args.output))
    )


if __name__ == '__main__':
    sys.exit(main())
