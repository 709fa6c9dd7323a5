#!/usr/bin/env bash
# Test a checkpoint in several processes, one per GPU (without any GPU: on the CPU):
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
#
# NNODES, NODE_RANK, MASTER_ADDR, PORT and PYTHON as for tools/dist_train.sh.
set -euo pipefail

(($# >= 3)) || { echo 'usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]' >&2; exit 2; }
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "${PYTHON:-python}" "$tools/dist_run.py" "$3" "$tools/test.py" "$1" "$2" "${@:4}"
