"""Peak memory of one call."""

import gc
import json
import os
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes of tensors at the call's peak, above what was held before it.

    Weights, optimizer state and input rest before and are not in it; activations, outputs and (in
    training) gradients are. It is what torch's allocator hands out, on both kinds of device:
    scratch memory that a library such as oneDNN allocates by itself is not in it.
    """
    gc.collect()  # of earlier networks nothing shall be freed within the call
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Where torch has CUDA and the machine has not, the profiler would print that as an error.
    os.environ.setdefault('KINETO_LOG_LEVEL', '5')
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    changes = sorted(
        (event['ts'], event['args']['Bytes']) for event in events if event['name'] == '[memory]'
    )
    return max(accumulate((size for _, size in changes), initial=0))
