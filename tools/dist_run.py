"""Start the processes of tools/dist_train.sh and tools/dist_test.sh: torchrun, with clear errors.

Usage: dist_run.py GPUS SCRIPT CONFIG [ARGUMENT ...], with NNODES, NODE_RANK, MASTER_ADDR, PORT.
"""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

FAILED, WRONG_USE = 1, 2


def die(message: str, status: int = WRONG_USE) -> NoReturn:
    print(f'error: {message}', file=sys.stderr)
    sys.exit(status)


def number(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        die(f'{name} must be a whole number of at least {least}, not {text!r}')
    return int(text)


def setting(name: str, default: int) -> int:
    return number(name, os.environ.get(name, str(default)), 0)


def main() -> None:
    gpus, script, config, *rest = sys.argv[1:]
    processes = number('GPUS', gpus, 1)
    nodes, node = setting('NNODES', 1), setting('NODE_RANK', 0)
    port = setting('PORT', 29500)
    address = os.environ.get('MASTER_ADDR', '127.0.0.1')
    if not Path(config).is_file():
        die(f'no config file {config}')
    if node == 0:
        try:
            socket.create_server(('', port)).close()
        except OSError as error:
            die(f'port {port} cannot be used ({error.strerror}): set PORT to another')

    # What the processes of this machine do on its cores should not be more than it has.
    threads = str(max(1, len(os.sched_getaffinity(0)) // processes))
    os.environ.setdefault('OMP_NUM_THREADS', threads)
    os.environ.setdefault('MKL_NUM_THREADS', os.environ['OMP_NUM_THREADS'])

    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # The failed process has said why; torchrun would add a page.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
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
        rank, failure = error.get_first_failure()
        how = failure.signal_name() if failure.exitcode < 0 else f'status {failure.exitcode}'
        die(f'process {rank} ended with {how}; the others were stopped', FAILED)


if __name__ == '__main__':
    main()
