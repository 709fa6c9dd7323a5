"""One call of a network with one setting, which is timed, and its MACs."""

import contextlib
import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from dualattn_mm.apis.complexity import complexity

from .peers import Case, Network, in_channels

MODES = ('infer', 'train')
DTYPES = ('float32', 'bfloat16', 'float16')
EXECUTIONS = ('eager', 'compile')
LAYOUTS = ('contiguous', 'channels_last')
_SEED = 0


@dataclass(frozen=True)
class Setting:
    """How the networks of one table are run.

    Args:
        case: the size of the input.
        mode: 'infer' or 'train'.
        dtype: 'float32', or the type of autocast.
        execution: 'eager' or 'compile'.
        layout: memory format of the input and the weights; 'contiguous' does not change the
            weights.
        batch_size: images per call.
    """

    case: Case
    mode: str
    dtype: str
    execution: str
    layout: str
    batch_size: int

    def __str__(self) -> str:
        return (
            f'{self.case.name}, {self.mode}, {self.dtype}, {self.execution}, {self.layout}, '
            f'batch {self.batch_size}'
        )


class Step:
    """A network with random weights and a random input; a call runs it once.

    'infer' is a forward pass in evaluation and inference mode. 'train' is a forward pass, a loss
    that is the mean square of the outputs, a backward pass, an AdamW step and a reset of the
    gradients.
    """

    def __init__(self, network: Network, setting: Setting, device: torch.device) -> None:
        self.dtype = getattr(torch, setting.dtype)
        self.device = device
        self._check_autocast()
        torch.manual_seed(_SEED)
        module = network.build(setting.case).to(device)
        self.input = network.make_input(module, setting.case, setting.batch_size).to(device)
        if setting.layout == 'channels_last':
            module = module.to(memory_format=torch.channels_last)
            self.input = self.input.contiguous(memory_format=torch.channels_last)
        self.module = module.train(setting.mode == 'train')
        self.parameters = sum(p.numel() for p in module.parameters())
        self.forward: Callable[[Tensor], object] = self.module
        if setting.execution == 'compile':
            self.forward = torch.compile(self.module, dynamic=False)
        self.train = setting.mode == 'train'
        if self.train:
            self.optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
            self.scaler = None
            if self.dtype == torch.float16:
                # With a larger scale, gradients would overflow and their steps be skipped.
                self.scaler = torch.amp.GradScaler(device.type, init_scale=1.0)

    def __call__(self) -> None:
        if not self.train:
            with torch.inference_mode(), self._autocast():
                self.forward(self.input)
            return
        with self._autocast():
            outputs = _tensors(self.forward(self.input))
            loss = sum(output.float().square().mean() for output in outputs)
        if self.scaler:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            loss.backward()
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _check_autocast(self) -> None:
        """Raise an error if torch has no autocast to a type; it only warns and uses float32."""
        one = torch.ones(1, 1, device=self.device)
        with self._autocast():
            if (one @ one).dtype != self.dtype:
                raise ValueError(f'torch has no autocast to {self.dtype} on {self.device.type}')


def _tensors(output: Tensor | Iterable) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [tensor for part in output for tensor in _tensors(part)]


def seconds_per_call(call: Callable[[], object], calls: int, device: torch.device) -> float:
    """Return the mean time of `calls` consecutive calls, including all asynchronous work."""
    if device.type != 'cuda':
        return timeit.timeit(call, number=calls) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / calls


@cache
def count_macs(network: Network, case: Case) -> int | None:
    """Count the multiply-accumulates of one image; None if this is impossible without data."""
    try:
        module = network.build(case)
        shape = (in_channels(module), case.height, case.width)
        return complexity(module, shape)[''].macs
    except Exception:  # networks of other packages can fail in any way
        return None
