"""One call of a network with one setting, which is timed, and its MACs."""

import contextlib
import timeit
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from dualattn_mm.apis.complexity import complexity

from .detectors import PointsToBoxes
from .peers import Case, Network, in_channels

MODES = ('infer', 'train')
DTYPES = ('float32', 'tf32', 'bfloat16', 'float16', 'bfloat16-weights', 'float16-weights')
EXECUTIONS = ('eager', 'compile', 'graph')
LAYOUTS = ('contiguous', 'channels_last', 'usual')
_SEED = 0
_CALLS_BEFORE_CAPTURE = 3  # libraries choose their kernels and allocate their buffers


@dataclass(frozen=True)
class Setting:
    """How the networks of one table are run.

    Args:
        case: the size of the input.
        mode: 'infer' or 'train'.
        dtype: 'float32' (without TF32), 'tf32' (float32 with TF32 in products and convolutions),
            the type of autocast, or '...-weights', which converts weights and input instead.
        execution: 'eager', 'compile', or 'graph' (a CUDA graph, inference only).
        layout: memory format of the input and the weights; 'contiguous' does not change the
            weights, 'usual' is the one of the network.
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

    Args:
        network: the network.
        setting: how to run it.
        device: the device.
        backend: the backend of torch.compile.

    Raises:
        ValueError: if torch has no autocast to the type, or the setting is for inference only.
    """

    def __init__(
        self, network: Network, setting: Setting, device: torch.device, backend: str = 'inductor'
    ) -> None:
        name, _, weights = setting.dtype.partition('-')
        self.dtype = torch.float32 if name == 'tf32' else getattr(torch, name)
        self.device = device
        self.autocast = self.dtype != torch.float32 and not weights
        self.train = setting.mode == 'train'
        if self.train and (weights or setting.execution == 'graph'):
            raise ValueError(f'{setting.dtype}, {setting.execution} is for inference only')
        self._check_autocast()
        torch.manual_seed(_SEED)
        with device:  # random numbers of a GPU take a fraction of the time
            module = network.build(setting.case)
            self.input = network.make_input(module, setting.case, setting.batch_size).to(device)
        module = module.to(device).train(self.train)
        if weights:
            module, self.input = module.to(self.dtype), self.input.to(self.dtype)
        layout = network.layout if setting.layout == 'usual' else setting.layout
        if layout == 'channels_last':
            module = module.to(memory_format=torch.channels_last)
            self.input = self.input.contiguous(memory_format=torch.channels_last)
        self.module = module
        self.parameters = sum(p.numel() for p in module.parameters())
        self.forward: Callable[[Tensor], object] = module
        if setting.execution == 'compile':
            if isinstance(module, PointsToBoxes):
                module.compile_maps(dynamic=False, backend=backend)
            else:
                self.forward = torch.compile(module, dynamic=False, backend=backend)
        self.graph: torch.cuda.CUDAGraph | None = None
        if setting.execution == 'graph' and device.type == 'cuda':
            self._capture()
        if self.train:
            self.optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
            self.scaler = None
            if self.dtype == torch.float16:
                # With a larger scale, gradients would overflow and their steps be skipped.
                self.scaler = torch.amp.GradScaler(device.type, init_scale=1.0)

    def __call__(self) -> None:
        if self.graph:
            self.graph.replay()
        else:
            self.run()

    def run(self) -> None:
        """Run the network once, without the CUDA graph."""
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

    def _capture(self) -> None:
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(_CALLS_BEFORE_CAPTURE):
                self.run()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.run()
        self.graph = graph

    def _autocast(self) -> contextlib.AbstractContextManager:
        if not self.autocast:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _check_autocast(self) -> None:
        """Raise an error if torch has no autocast to a type; it only warns and uses float32."""
        one = torch.ones(1, 1, device=self.device)
        with self._autocast():
            if self.autocast and (one @ one).dtype != self.dtype:
                raise ValueError(f'torch has no autocast to {self.dtype} on {self.device.type}')


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in the matrix products and convolutions of a GPU within the block."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = allowed
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


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
