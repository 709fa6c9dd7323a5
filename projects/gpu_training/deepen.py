"""Give published weights more blocks without changing their colors, as the start of a training.

python projects/gpu_training/deepen.py WEIGHTS CONFIG_OF_A_DEEPER_ENCODER -o OUT.safetensors
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from dualattn_mm.apis.weights import (
    build_network,
    load_generator,
    read_generator_cfg,
    require_fit,
    save_generator,
)
from dualattn_mm.utils.command import run_command

_BLOCK = re.compile(r'(encoder\.stages\.\d+\.blocks\.)(\d+)(\..+)')
_LAST_OF_A_BRANCH = re.compile(r'\.(attn\.proj|ffn\.fc2)\.')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('weights', type=Path, metavar='WEIGHTS', help='a safetensors file that describes itself')
    add('config', type=Path, metavar='CONFIG', help='config with the deeper network')
    add('-o', '--output', type=Path, required=True, metavar='OUT', help='the file to write')
    args = parser.parse_args(argv)
    return run_command(lambda: deepen(args.weights, args.config, args.output))


def deepen(weights: Path, config: Path, output: Path) -> None:
    """Write the weights of a deeper network that computes the same, in float16.

    Raises:
        ColorizeError: if the networks differ in more than the numbers of blocks.
    """
    cfg = read_generator_cfg(config)
    network = build_network(cfg, config)
    state = deepened(load_generator(weights).state_dict(), network.state_dict())
    require_fit(network, state, weights)
    save_generator(output, state, cfg, torch.float16)


def deepened(state: Mapping[str, Tensor], deeper: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with the blocks of a deeper one.

    A new block follows an old one and has its weights, but the last layers of its residual branches
    are 0, so it returns its input. These layers learn first, from features that are already useful.
    """
    old, new = _depths(state), _depths(deeper)
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            found[name] = value
            continue
        stage, block, rest = match[1], int(match[2]), match[3]
        # 3 blocks become 8 as 0 0 0 1 1 1 2 2.
        places = [i for i in range(new[stage]) if i * old[stage] // new[stage] == block]
        if not places:  # the new network has fewer blocks, which `require_fit` reports
            found[name] = value
        for i in places:
            silent = i != places[0] and _LAST_OF_A_BRANCH.search(rest)
            found[f'{stage}{i}{rest}'] = torch.zeros_like(value) if silent else value
    return found


def _depths(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of blocks by the prefix of their stage."""
    depths: dict[str, int] = {}
    for match in filter(None, map(_BLOCK.fullmatch, state)):
        depths[match[1]] = max(depths.get(match[1], 0), int(match[2]) + 1)
    return depths


if __name__ == '__main__':
    sys.exit(main())
