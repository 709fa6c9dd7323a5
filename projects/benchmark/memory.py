"""Peak memory of one call."""

import gc
import json
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

_MARK = 'the call whose memory counts'


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
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()  # what a call leaves behind for the next to free (spectral norm does) is known then
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
