"""The process that colorizes the uploads of a server: `python -m dualattn_mm.web.worker`.

Tasks and answers are lines of JSON on standard input and output. The first line has the settings.
"""

import io
import json
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any


class _Log(io.TextIOWrapper):
    """Standard error without progress bars, also if the server was started on a terminal."""

    def isatty(self) -> bool:
        return False


def main() -> None:
    """Carry out tasks until the server closes standard input or ends for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, which ends this process
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    sys.stderr = _Log(sys.stderr.buffer, errors='backslashreplace', line_buffering=True)
    settings = json.loads(sys.stdin.readline())
    lines = _received_lines(Path(settings.pop('folder')))
    try:
        from ..utils.errors import UserError, first_line
        from .upload import colorize_upload, status_of

        warnings.simplefilter('ignore')  # of Pillow and of damaged metadata, which are remarks
        pipe, about, max_frames = _load(**settings)
    except (UserError, OSError) as error:
        print(json.dumps({'error': str(error)}), file=answers)
        os._exit(1)  # a thread still reads standard input, for which Python would complain
    print(json.dumps(about), file=answers)
    while True:
        task = json.loads(lines.get())
        source, folder = Path(task.pop('source')), Path(task.pop('folder'))
        try:
            answer = colorize_upload(pipe, source, folder, max_frames=max_frames, **task)
        except UserError as error:
            answer = {'error': first_line(error), 'status': status_of(error)}
        except Exception:
            traceback.print_exc()
            answer = {'error': "internal error; see the server's log", 'status': 500}
        print(json.dumps(answer), file=answers)


def _received_lines(folder: Path) -> 'queue.SimpleQueue[str]':
    """Return the lines of standard input as they come; end the process when they end."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        # The server has ended. If it was killed, nothing else removes the uploads of strangers.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _load(
    weights: str | None,
    config: str | None,
    device: str,
    size: int | None,
    max_pixels: int,
    max_frames: int,
) -> tuple[Any, dict[str, str], int]:
    """Return the pipeline, what is known of its weights, and the largest number of frames."""
    from ..apis.pipeline import ColorizationPipeline
    from ..apis.weights import DEFAULT_WEIGHTS
    from ..apis.weights_info import weights_info

    pipe = ColorizationPipeline(weights, config, device, size, max_pixels=max_pixels)
    about = weights_info(weights or DEFAULT_WEIGHTS)
    about['file'] = 'bundled' if weights is None else Path(weights).name
    # A config can describe another network than the file, which may describe none.
    about['network'] = type(pipe.generator).__name__
    about['image size'] = str(pipe.size)
    about['saturation'] = str(getattr(pipe.generator, 'saturation', 1.0))
    return pipe, about, max_frames


if __name__ == '__main__':
    main()
