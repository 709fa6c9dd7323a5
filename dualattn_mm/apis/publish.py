"""From a checkpoint of a training to the file that others colorize with."""

import os

import torch

from .weights import load_generator, read_generator_cfg, save_generator


def publish(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    saturation: float | None = None,
    half: bool = False,
) -> None:
    """Write the generator of an mmengine checkpoint as a file that describes itself.

    Args:
        config: the config file of the training; Python code that runs.
        checkpoint: the checkpoint, or a file of `save_generator` to change.
        output: the safetensors file to write.
        saturation: the factor on the colours that front ends use by default; None keeps the
            config's.
        half: store float16, half the size.

    Raises:
        ColorizeError: if a file is missing, cannot be read, or the weights do not fit the config.
        OSError: if `output` cannot be written.
    """
    generator_cfg = read_generator_cfg(config)
    generator = load_generator(checkpoint, config)
    if saturation is not None:
        generator_cfg['saturation'] = saturation
    save_generator(output, generator, generator_cfg, torch.float16 if half else None)
