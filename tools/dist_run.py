"""Start the processes of tools/dist_train.sh and tools/dist_test.sh: torchrun with clear errors.

Usage: dist_run.py GPUS SCRIPT CONFIG [ARGUMENT ...], with NNODES, NODE_RANK, MASTER_ADDR, PORT.
"""

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.configs_dir import find_config
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.parent import LAUNCHER

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

FAILED, WRONG_USE = 1, 2


def die(message: str, status: int = WRONG_USE) -> NoReturn:
    print(f'error: {message}', file=sys.stderr)
    sys.exit(status)


def number(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        die(f'{name} must be an integer >= {least}, got {text!r}')
    return int(text)


def setting(name: str, default: int, least: int = 0) -> int:
    return number(name, os.environ.get(name, str(default)), least)


def order(failure: 'ProcessFailure') -> tuple:
    """Return a sort key that is smallest for the process that failed first.

    Within the same second, a killed process comes before processes that lost the connection to it.
    Processes that torchrun stopped come last.
    """
    return failure.timestamp, failure.exitcode == -signal.SIGTERM, failure.exitcode > 0


def main() -> None:
    if sys.argv[1:2] in (['-h'], ['--help']):
        print(__doc__.strip())
        return
    if len(sys.argv) < 4:
        die(__doc__.strip().splitlines()[-1])
    gpus, script, config, *rest = sys.argv[1:]
    processes = number('GPUS', gpus, 1)
    nodes, node = setting('NNODES', 1, least=1), setting('NODE_RANK', 0)
    port = setting('PORT', 29500, least=1)
    if port > 65535:
        die(f'PORT {port} is too large: ports end at 65535')
    if nodes > 1 and not os.environ.get('MASTER_ADDR'):
        die('NNODES > 1 needs MASTER_ADDR: set it to the address of the machine with NODE_RANK=0')
    address = os.environ.get('MASTER_ADDR') or '127.0.0.1'
    try:
        config = str(find_config(config))
    except UserError as error:
        die(str(error))
    if node >= nodes:
        die(f'NODE_RANK {node} needs NNODES of at least {node + 1}, got {nodes}')
    if node == 0:
        try:
            socket.create_server(('', port)).close()
        except OSError as error:
            die(f'port {port} cannot be used ({error.strerror}): set PORT to another number')

    # The processes of this machine should not use more threads than it has cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    threads = str(max(1, (cores or 1) // processes))
    os.environ.setdefault('OMP_NUM_THREADS', threads)
    os.environ.setdefault('MKL_NUM_THREADS', os.environ['OMP_NUM_THREADS'])

    try:
        import torch
        from torch.distributed import run
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    except ModuleNotFoundError as error:
        die(f'the module {error.name} is not installed for {sys.executable}: see docs/install.md')

    connection_error = getattr(torch.distributed, 'DistError', RuntimeError)  # torch < 2.2
    there = torch.cuda.device_count()
    if 0 < there < processes:
        die(f'{processes} processes were requested, but this machine has {there} GPUs')

    # The failed process has printed the reason; torchrun would add a page of text.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    os.environ[LAUNCHER] = str(os.getpid())  # the processes end with this one
    options = [
        f'--nnodes={nodes}',
        f'--node_rank={node}',
        f'--nproc_per_node={processes}',
        f'--master_addr={address}',
        f'--master_port={port}',
    ]
    try:
        run.main([*options, script, config, *rest, '--launcher', 'pytorch'])
    except ChildFailedError as error:
        rank, failure = min(error.failures.items(), key=lambda item: order(item[1]))
        how = failure.signal_name() if failure.exitcode < 0 else f'status {failure.exitcode}'
        die(f'process {rank} ended with {how}; the others were stopped', FAILED)
    except connection_error as error:
        die(f'node {node} cannot reach the other nodes: {str(error).splitlines()[0]}', FAILED)
    except SignalException as error:
        die(f'stopped by {error.sigval.name}', 128 + error.sigval)


if __name__ == '__main__':
    main()
