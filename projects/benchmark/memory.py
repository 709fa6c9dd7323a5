"""Measure the peak memory of a call."""

import gc
import json
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

_MARK = 'measured call'


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Return the bytes of tensors at the peak of a call, minus those that existed before it.

    Activations, outputs and (in training) gradients count. Weights, optimizer state and inputs
    exist before the call and do not count. On both kinds of device, the value is what torch's
    allocator provides; scratch memory that a library such as oneDNN allocates itself is missing.
    """
    gc.collect()  # so that no memory of earlier networks is freed within the call
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()  # some calls leave memory for the next one to free, for example spectral norm
        with record_function(_MARK):
            call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    start = next(event['ts'] for event in events if event['name'] == _MARK)
    changes = sorted(
        (event['ts'], event['args']['Bytes']) for event in events if event['name'] == '[memory]'
    )
    return max(accumulate((size for time, size in changes if time >= start), initial=0))
