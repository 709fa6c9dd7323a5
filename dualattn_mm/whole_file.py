"""Files that appear whole or not at all."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it; missing folders are made.

    Raises:
        OSError: if it cannot be written; there is then what was there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f'.{uuid.uuid4().hex}.tmp'
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
