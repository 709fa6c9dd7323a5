#!/usr/bin/env bash
# Train in several processes, one per GPU (without any GPU: on the CPU):
#
#   bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
#
# As OpenMMLab's own: NNODES, NODE_RANK, MASTER_ADDR and PORT for several machines, on each of which it
# is started. PYTHON is the Python to use.
set -euo pipefail

(($# >= 2)) || { echo 'usage: bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]' >&2; exit 2; }
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "${PYTHON:-python}" "$tools/dist_run.py" "$2" "$tools/train.py" "$1" "${@:3}"
