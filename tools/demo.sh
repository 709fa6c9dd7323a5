#!/usr/bin/env bash
# Train the mini preset on a handful of packaged photos and colorize them.
# Usage: bash tools/demo.sh [--fresh]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(bash "$root/tools/env.sh" core | tail -n 1)
exec "$python" "$root/tools/demo.py" "$@"
