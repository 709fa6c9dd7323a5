#!/usr/bin/env bash
# Colorize a handful of packaged photos; with --train, after training on them for some minutes.
# Usage: bash tools/demo.sh [--train [--fresh]]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(bash "$root/tools/env.sh" core | tail -n 1)
exec "$python" "$root/tools/demo.py" "$@"
