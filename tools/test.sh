#!/usr/bin/env bash
# The whole test suite in the full environment: bash tools/test.sh [pytest arguments]
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(bash "$root/tools/env.sh" full)"
cd "$root"
# The tests' tensors are too small to share between threads: waiting for each other costs more.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$python" -m pytest "$@"
