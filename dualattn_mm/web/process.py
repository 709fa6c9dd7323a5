"""The server's side of the process that colorizes."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio

from ..utils.errors import UserError, first_line
from ..utils.terminal import warn
from .limits import Refused

_PACKAGES = Path(__file__).resolve().parents[2]
_LONGEST_LINE = 2**24  # weights can have long metadata
_START_SECONDS = 300  # the imports take long on a slow disk
_RETRY_SECONDS = 30


class WorkerProcess:
    """Runs `worker`, and starts a new one when it crashes or has to be stopped.

    Args:
        settings: of the pipeline: weights, config, device, size, max_pixels; and max_frames.
        folder: the folder of the server, where the process runs. The process removes it if the
            server is killed.

    Attributes:
        about: what is known of the weights.
        works: False while no process can be started, or one takes longer to start than a task may.
    """

    def __init__(self, settings: dict[str, Any], folder: Path):
        self._settings = {**settings, 'folder': str(folder)}
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[asyncio.subprocess.Process] | None = None
        self.about: dict[str, str] = {}
        self.works = True

    async def start(self) -> None:
        """Start the process and wait until it has loaded the weights.

        Raises:
            UserError: if the weights or the settings cannot be used.
        """
        self._starting = asyncio.create_task(self._start())
        await self._starting

    async def _start(self) -> asyncio.subprocess.Process:
        given = os.environ.get('PYTHONPATH')
        # The process runs in another folder, to which relative paths do not refer.
        more = map(os.path.abspath, given.split(os.pathsep)) if given else ()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *('-m', f'{__package__}.worker'),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=self._folder,
            limit=_LONGEST_LINE,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(_PACKAGES), *more])},
        )
        self._process = process
        about = None
        with anyio.move_on_after(_START_SECONDS):
            about = await _exchange(process, self._settings)
        if about is None or 'error' in about:
            self._kill()
            raise UserError((about or {}).get('error', 'the process that colorizes cannot start'))
        self.about = about
        return process

    def _replace(self) -> None:
        """Start another process in place of one that has ended or hangs, as often as necessary."""
        self._kill()
        self._starting = asyncio.create_task(self._start_again())

    async def _start_again(self) -> asyncio.subprocess.Process:
        while True:
            try:
                process = await self._start()
            except (UserError, OSError) as error:
                self.works = False
                warn(f'the server cannot colorize: {first_line(error)}')
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.works = True
                return process

    async def call(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Carry out one task; the caller sees to it that there is only one at a time.

        Args:
            task: the arguments of `upload.colorize_upload`.
            seconds: time for it, and before that for a process that is starting.

        Raises:
            Refused: if it takes too long, if the process crashes or if no process can be started.
        """
        assert self._starting is not None
        if self._starting.done() and self._process and self._process.returncode is not None:
            self._replace()  # it ended between two tasks
        process = None
        if self.works:
            with anyio.move_on_after(seconds):
                process = await asyncio.shield(self._starting)
        if process is None:
            self.works = False
            raise Refused(503, 'The server cannot colorize at the moment.')
        answer = None
        in_time = False
        try:
            with anyio.move_on_after(seconds):
                answer = await _exchange(process, task)
                in_time = True
        finally:
            if answer is None:  # also if this task was canceled
                self._replace()
        if not in_time:
            raise Refused(504, f'The file was not colorized within {seconds:g} seconds.')
        if answer is None:
            raise Refused(500, 'The process that colorizes ended unexpectedly with this file.')
        return answer

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the process."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, UserError, OSError):
                await self._starting
        if self._process is not None:
            self._kill()
            await self._process.wait()


async def _exchange(
    process: asyncio.subprocess.Process, message: dict[str, Any]
) -> dict[str, Any] | None:
    """Send a message and return the answer; None if the process ended or has a longer answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(message).encode() + b'\n')
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return None
    try:
        line = await process.stdout.readline()
    except ValueError:  # of asyncio, for a line beyond the limit
        return None
    return json.loads(line) if line.endswith(b'\n') else None
