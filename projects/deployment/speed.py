"""Measure the bundled colorizer at batch 1 in torch, ONNX Runtime and OpenVINO, alternately."""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from dualattn_mm.apis.export import colorizer, export
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.libraries import library
from projects.benchmark.machine import describe_machine
from projects.benchmark.measure import turns
from projects.benchmark.report import ratios

Run = Callable[[], Any]


def onnx_runtime(path: Path, x: Tensor, threads: int) -> Run:
    """Return a call of ONNX Runtime."""
    runtime = library('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    array = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, array)


def openvino(path: Path, x: Tensor, threads: int) -> Run:
    """Return a call of OpenVINO, in float32 like the others."""
    options = {'INFERENCE_NUM_THREADS': threads, 'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = (
        library('openvino', 'its row', 'openvino').Core().compile_model(str(path), 'CPU', options)
    )
    array = x.numpy()
    return lambda: compiled(array)


def rounds(runs: dict[str, Run], count: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds of each call in each round; a round starts with another one each time."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for names in turns(list(runs), count):
        for name in names:
            start = clock()
            runs[name]()
            seconds[name].append(clock() - start)
    return seconds


def report(seconds: dict[str, list[float]]) -> list[str]:
    """Return a line per runtime: its median, and its speed relative to torch with quartiles."""
    lines = []
    for name, times in seconds.items():
        low, middle, high = ratios(seconds['torch'], times)
        lines.append(
            f'{name:12} {1e3 * statistics.median(times):7.1f} ms   {middle:.2f} times torch '
            f'({low:.2f} to {high:.2f})'
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', metavar='FILE', help='another weights file')
    parser.add_argument('--threads', type=natural, default=1, help='default: %(default)s')
    parser.add_argument('--rounds', type=natural, default=21, help='default: %(default)s')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    what = colorizer(args.weights)
    x = 100 * torch.rand(1, *what.shape, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def in_torch() -> Tensor:
        return what.network(x)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'colorizer.onnx'
        export(what, path)
        runs: dict[str, Run] = {
            'torch': in_torch,
            'onnxruntime': onnx_runtime(path, x, args.threads),
        }
        if importlib.util.find_spec('openvino'):
            runs['openvino'] = openvino(path, x, args.threads)
        # The processor time of a single thread does not depend on what else runs.
        clock = time.process_time if args.threads == 1 else time.perf_counter
        seconds = rounds(runs, args.rounds, clock)
    about = describe_machine(torch.device('cpu'))
    print(f'{about["cpu"]}, {args.threads} threads, batch 1, size {what.shape[1]}')
    print('\n'.join(report(seconds)))


if __name__ == '__main__':
    raise SystemExit(run_command(main))
