"""From a file of DaViT's weights to a checkpoint that DualAttention starts from."""

import io
import os
import re
from pathlib import Path

import torch

from ..engine.safe_checkpoint import AtomicLocalBackend
from ..errors import UserError
from ..models.davit import ConvertedDaViT, convert_davit
from ..version import __version__
from .checkpoint_file import read_state_dict


def convert_davit_file(source: str | os.PathLike, output: str | os.PathLike) -> ConvertedDaViT:
    """Write the checkpoint that :func:`~dualattn_mm.models.davit.convert_davit` makes of a file.

    It has the names of mmpretrain's ImageClassifier under `state_dict`: a backbone takes it by
    `init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')`. It appears whole or not
    at all; missing folders are made.

    Args:
        source: DaViT-T, -S or -B of timm or mmpretrain: safetensors, or what torch.save wrote.
        output: the file to write, *.pth.

    Raises:
        UserError: if a file cannot be read or written, or `source` is no such DaViT.
    """
    source, output = Path(source), Path(output)
    if output.suffix != '.pth':
        raise UserError(f'{output} should end in .pth: it is a checkpoint for torch.load')
    if output.resolve() == source.resolve():
        raise UserError(f'{output} is the input, which is never written over')
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
        initialised=list(converted.initialised),
    )
    buffer = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=converted.state_dict), buffer)
    try:
        AtomicLocalBackend().put(buffer.getbuffer(), output)
    except OSError as error:
        raise UserError(f'cannot write {output}: {error.strerror}') from None
    return converted


def describe(converted: ConvertedDaViT, output: str | os.PathLike) -> str:
    """What was taken, what was not, and how to use it, for the user to read."""
    state, head = converted.state_dict, converted.state_dict.get('head.fc.weight')
    classifier = '' if head is None else f', with a classifier of {len(head)} classes'
    initialised = ', '.join(f'{key} {tuple(state[key].shape)}' for key in converted.initialised)
    return f"""\
DaViT of {converted.library} -> DualAttention {converted.arch}{classifier}
from DaViT: {converted.count(converted.mapped):,} parameters
identity (depthwise kernels of queries, keys, values): {converted.count(converted.identity):,}
initialised, DaViT has none: {converted.count(converted.initialised):,}: {initialised}
left out, DualAttention has none: {', '.join(_summary(converted))}

The backbone that starts from it (head_dim=32, group_dim=32 and window_size=7 are the defaults):
backbone=dict(
    type='DualAttention',
    arch={converted.arch!r},
    fca_scale='group',
    init_cfg=dict(type='Pretrained', checkpoint={os.fspath(output)!r}, prefix='backbone.'),
)"""


def _summary(converted: ConvertedDaViT) -> list[str]:
    """The keys that were left out, by layer, with `*` for numbers; a block as a whole."""
    names = []
    for key in converted.left_out:
        block = re.search(r'stages\.(\d+)\.blocks\.(\d+)(?=\.)', key)
        if block and int(block[2]) >= converted.depths[int(block[1])]:
            names.append(key[: block.end()])
        else:
            names.append(re.sub(r'\.\d+(?=\.|$)', '.*', key.rpartition('.')[0] or key))
    return list(dict.fromkeys(names)) or ['nothing']
