#!/usr/bin/env bash
# The whole test suite in the full environment: bash tools/test.sh [pytest arguments]
# It takes a process per core, four at most, and one more, because a quarter of the time is waiting
# for other processes; `-n 0` keeps it in one, as --pdb needs.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(bash "$root/tools/env.sh" full)"
cd "$root"
# nproc would take OMP_NUM_THREADS for the number of cores.
cores="$(env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
workers=$((cores > 4 ? 5 : cores + 1))
((cores > 1)) || workers=0
# The tests' tensors are too small to share between threads: waiting for each other costs more.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Dozens of processes import the same modules: each would compile them again.
unset PYTHONDONTWRITEBYTECODE
exec "$python" -m pytest -n "$workers" --dist worksteal "$@"
