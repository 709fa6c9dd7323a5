#!/usr/bin/env bash
# Test a checkpoint on a Slurm cluster, one task per GPU:
#
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
#
# Settings as for tools/slurm_train.sh.
set -euo pipefail

(($# >= 4)) || { echo 'usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options]' >&2; exit 2; }
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" name="${3#configs/}"
[[ -f $3 || -f $tools/../configs/${name%.py}.py ]] || { echo "error: config file $3 does not exist" >&2; exit 2; }
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun -p "$1" --job-name="$2" \
  --gres="gpu:${GPUS_PER_NODE:-8}" \
  --ntasks="${GPUS:-8}" --ntasks-per-node="${GPUS_PER_NODE:-8}" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$tools/test.py" "$3" "$4" "${@:5}" --launcher=slurm
