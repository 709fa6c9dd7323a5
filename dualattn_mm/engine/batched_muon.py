"""Muon for networks with many small matrices on a GPU."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from timm.optim.muon import Muon, muon
from torch import Tensor

from ..utils.checks import require


class BatchedMuon(Muon):
    """timm's Muon, but it orthogonalizes all matrices of the same shape at once.

    A step of timm's Muon starts 24 kernels per matrix. In a colorizer with 135 small matrices, an
    H200 was idle for about half of the training, because starting a kernel takes longer than
    running it. This optimizer starts a quarter as many. The results, the arguments and the state
    are those of timm's Muon, with its default `algo` and `conv_mode`.

    It needs timm, so a config names it by its full path:
    `optimizer=dict(type='dualattn_mm.engine.batched_muon.BatchedMuon', ...)`.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step; `closure` computes the loss again, as in other optimizers of torch.

        Raises:
            ValueError: for another `algo` or `conv_mode` than timm's default.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for name, value in (('algo', 'muon'), ('conv_mode', 'flatten')):
                require(group[name] == value, name, group[name], repr(value))
        done: dict[Tensor, Tensor | None] = {}
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group['params']:
                if p.grad is not None and self._is_matrix(p, group):
                    alike[p.shape].append(p)
            for params in alike.values():
                self._step(params, group)
                done |= {p: p.grad for p in params}
        # timm's step is for the other parameters.
        for p in done:
            p.grad = None
        super().step()
        for p, grad in done.items():
            p.grad = grad
        return loss

    def _is_matrix(self, p: Tensor, group: dict[str, Any]) -> bool:
        state = self.state[p]
        if 'use_muon' not in state:
            shape = (p.shape[0], p.numel() // max(1, p.shape[0])) if p.dim() > 1 else (1, 1)
            state['use_muon'] = not group.get('use_fallback', False) and group.get(
                'use_muon',
                p.dim() > 1
                and p.shape[1] > 1
                and min(shape) >= 4
                and max(shape) <= 128 * min(shape),
            )
        return state['use_muon']

    def _step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Step on parameters of the same shape."""
        for p in params:
            if 'momentum_buffer' not in self.state[p]:
                self.state[p]['momentum_buffer'] = torch.zeros_like(p)
        grads = [p.grad for p in params]
        averages = [self.state[p]['momentum_buffer'] for p in params]
        torch._foreach_lerp_(averages, grads, 1 - group['momentum'])
        updates = averages
        if group['nesterov']:
            updates = torch._foreach_lerp(grads, averages, group['momentum'])
        # The positions of a kernel, which `batched` orthogonalizes one by one, are our matrices.
        values, updates = (
            torch.stack([t.flatten(1) for t in tensors], dim=-1) for tensors in (params, updates)
        )
        same = ('lr', 'weight_decay', 'ns_steps', 'ns_coefficients', 'eps', 'safety_factor')
        muon(
            [values],
            [updates],
            [torch.zeros_like(updates)],
            **{key: group[key] for key in (*same, 'adjust_lr_fn', 'scale_eps')},
            momentum=0.0,
            nesterov=False,
            conv_mode='batched',
            normalize_spatial=False,
        )
        torch._foreach_copy_(params, [v.view(params[0].shape) for v in values.unbind(-1)])
