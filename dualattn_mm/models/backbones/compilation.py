"""What `torch.compile` knows of the sizes of maps, and operators that it does not look into."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Compilers of torch < 2.7 cannot be asked what they know of a size.
_HAS_DYNAMIC_SIZES = hasattr(torch.compiler, 'is_exporting')
# torch 2.1 and 2.2 have only the private one.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._utils.is_compiling


def has_free_size(x: Tensor) -> bool:
    """Return whether `torch.compile` makes code for maps (B, H, W, C) of any height or width."""
    if not (_HAS_DYNAMIC_SIZES and torch.compiler.is_dynamo_compiling()):
        return False  # torch.export as well, unless it is strict
    # A compiler has imported it, with sympy; for all others that takes half a second.
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not (has_static_value(x.shape[1]) and has_static_value(x.shape[2]))


def known_zero(size: int) -> bool:
    """Return whether a size is 0, but False where a graph is made that has to serve other sizes.

    An `if` on the size itself would bind the graph to the answer.
    """
    if is_compiling() and _HAS_DYNAMIC_SIZES:
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(size == 0)
    return not torch.jit.is_tracing() and size == 0


def register_attention(
    name: str, attention: Callable[..., Tensor], gradient: Callable[..., Tensor]
) -> None:
    """Make an attention the operator `torch.ops.dualattn_mm.NAME`, for `has_free_size`.

    Given the formulas of an attention in maps of any size, inductor would compute with the sizes as
    symbols for minutes per network. For maps of one size it makes faster code if it sees them.

    Args:
        name: of the operator; that of its gradient is NAME_gradient. torch < 2.7 gets neither.
        attention: maps q, k and v (B, H, W, 3C), and options, to (B, H, W, C).
        gradient: maps the gradient of the result, q, k and v, and the options to the gradient of
            q, k and v.
    """
    if not _HAS_DYNAMIC_SIZES:
        return
    operator, gradient_operator = (
        torch.library.custom_op(f'dualattn_mm::{name}{end}', f, mutates_args=())
        for end, f in (('', attention), ('_gradient', gradient))
    )

    @operator.register_fake
    def _(qkv: Tensor, *options: Any) -> Tensor:
        return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)

    @gradient_operator.register_fake
    def _(grad: Tensor, qkv: Tensor, *options: Any) -> Tensor:
        return qkv.new_empty(qkv.shape)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        qkv, *ctx.options = inputs
        ctx.save_for_backward(qkv)

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = gradient_operator(grad, *ctx.saved_tensors, *ctx.options)
        return grads, *(None for _ in ctx.options)

    operator.register_autograd(backward, setup_context=setup_context)
