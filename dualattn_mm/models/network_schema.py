"""Check the network description in a weights file or a `config.json` before any of it is used.

The file can come from anyone. mmengine's registry would import any module named in a `type` or
`_scope_`, and an argument could request more memory than there is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..utils.checks import require

ATTENTION_KINDS = ('sda', 'fca', 'da', 'ca')
FCA_SCALES = ('channel', 'group', 'tokens')

Check = Callable[[str, Any], None]


def whole(low: int, high: int) -> Check:
    """Accept an integer in a range."""

    def check(name: str, value: Any) -> None:
        ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        require(ok, name, value, f'an integer from {low} to {high}')

    return check


def real(low: float, high: float) -> Check:
    """Accept a finite number in a range."""

    def check(name: str, value: Any) -> None:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        # In this order, a very long integer is not converted to a float, which would overflow.
        ok = ok and low <= value <= high and math.isfinite(value)
        require(ok, name, value, f'a number from {low} to {high}')

    return check


def one_of(*allowed: Any) -> Check:
    """Accept one of the given strings or booleans."""

    def check(name: str, value: Any) -> None:
        ok = isinstance(value, str | bool) and value in allowed
        require(ok, name, value, f'one of {allowed}')

    return check


def several(item: Check, most: int) -> Check:
    """Accept a list of 1 to `most` items."""

    def check(name: str, value: Any) -> None:
        ok = isinstance(value, list | tuple) and 1 <= len(value) <= most
        require(ok, name, value, f'a list of 1 to {most} values')
        for i, inner in enumerate(value):
            item(f'{name}[{i}]', inner)

    return check


def either(first: Check, *others: Check, of: type) -> Check:
    """Apply the first check to values of a class, and the others to all other values."""

    def check(name: str, value: Any) -> None:
        for each in (first,) if isinstance(value, of) else others:
            each(name, value)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Accept a dict with all required keys and any of the optional ones."""
    known = {**required, **(optional or {})}

    def check(name: str, value: Any) -> None:
        require(isinstance(value, dict), name, value, 'a dict')
        for key in value:
            require(key in known, name, key, f'keys among {", ".join(sorted(known))}')
        for key in required:
            require(key in value, name, value, f'a dict with the key {key}')
        for key, inner in value.items():
            known[key](f'{name}.{key}', inner)

    return check


_STAGES = 5
_FLAG = one_of(True, False)
_CHANNELS = whole(1, 8192)


def _encoder(
    stages: int, depth: int, channels: int, window: int, kinds: int, ratio: float
) -> Check:
    """Accept the arguments of `DualAttention` up to these limits."""
    stage = whole(-stages, stages - 1)
    return record(
        {},
        dict(
            type=one_of('DualAttention'),
            arch=either(
                one_of('tiny', 'small', 'base'),
                record(
                    dict(
                        embed_dims=several(_CHANNELS, stages),
                        depths=several(whole(1, depth), stages),
                        stem_channels=_CHANNELS,
                    )
                ),
                of=str,
            ),
            in_channels=whole(1, channels),
            window_size=whole(1, window),
            head_dim=_CHANNELS,
            group_dim=_CHANNELS,
            order=several(one_of(*ATTENTION_KINDS), kinds),
            mlp_ratio=real(0.01, ratio),
            fca_scale=one_of(*FCA_SCALES),
            drop_path_rate=real(0, 0.99),
            out_indices=either(stage, several(stage, stages), of=int),
            frozen_stages=whole(-1, stages),
            gap_before_final_norm=_FLAG,
            with_cp=_FLAG,
        ),
    )


_NECK = record(
    {},
    dict(
        type=one_of('PixelShuffleNeck'),
        in_channels=several(_CHANNELS, _STAGES),
        out_channels=several(_CHANNELS, _STAGES),
    ),
)
_HEAD = record(
    {},
    dict(
        type=one_of('ColorAttention'),
        in_channels=_CHANNELS,
        num_layers=whole(1, 32),
        num_heads=whole(1, 128),
        feedforward_channels=whole(1, 32768),
        upscale=whole(1, 16),
    ),
)
# The check of each generator type. A program with its own network adds a check here.
GENERATORS: dict[str, Check] = {
    'MultiscalePyramidTransformer': record(
        dict(type=one_of('MultiscalePyramidTransformer')),
        dict(
            encoder=_encoder(_STAGES, 32, channels=3, window=64, kinds=4, ratio=16),
            neck=_NECK,
            head=_HEAD,
            num_queries=whole(1, 4096),
            image_size=whole(32, 1024),
            saturation=real(0, 10),
        ),
    )
}


# The same for the networks in `config.json`. The encoder alone can be for other images and tasks.
SHARED: dict[str, Check] = {
    'DualAttention': _encoder(8, 256, channels=4096, window=1024, kinds=16, ratio=64),
    **GENERATORS,
}


def check_generator_cfg(cfg: Any) -> None:
    """Reject a generator description that `GENERATORS` does not allow.

    Raises:
        UserError: if a value is invalid; the message names it and the allowed values.
    """
    kind = cfg.get('type') if isinstance(cfg, dict) else None
    known = isinstance(kind, str) and kind in GENERATORS
    require(known, 'generator.type', kind, f'one of {", ".join(GENERATORS)}')
    GENERATORS[str(kind)]('generator', cfg)
