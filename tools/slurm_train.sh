#!/usr/bin/env bash
# Train on a Slurm cluster, one task per GPU:
#
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [options of tools/train.py]
#
# As OpenMMLab's own: GPUS (8 in all), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, MASTER_PORT.
# PYTHON is the Python to use. For nodes without GPUs: SRUN_ARGS=--gres=none.
set -euo pipefail

(($# >= 3)) || { echo 'usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [options]' >&2; exit 2; }
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" name="${3#configs/}"
[[ -f $3 || -f $tools/../configs/${name%.py}.py ]] || { echo "error: config file $3 does not exist" >&2; exit 2; }
options=("${@:4}")
[[ $# -lt 4 || $4 == -* ]] || options=(--work-dir "$4" "${@:5}")
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun -p "$1" --job-name="$2" \
  --gres="gpu:${GPUS_PER_NODE:-8}" \
  --ntasks="${GPUS:-8}" --ntasks-per-node="${GPUS_PER_NODE:-8}" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$tools/train.py" "$3" ${options[@]+"${options[@]}"} --launcher=slurm
