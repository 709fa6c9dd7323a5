"""What a server accepts, and the refusal of everything else."""

from dataclasses import dataclass

from starlette.exceptions import HTTPException


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        bytes: size of an upload.
        pixels: pixels of a photo or of a frame of a video.
        frames: frames of a video or an animation.
        requests: uploads that are received, wait or are colorized at the same time.
        seconds: time to receive an upload, to wait for the previous ones, and to colorize it; each
            of the three may take this long.
    """

    bytes: int = 64 * 2**20
    pixels: int = 100_000_000
    frames: int = 1500
    requests: int = 32
    seconds: float = 120

    def too_large(self) -> 'Refused':
        """Return the refusal of a file with too many bytes."""
        return Refused(413, f'The file is larger than {self.bytes:,} bytes.')


class Refused(HTTPException):
    """The answer to a request that is not carried out.

    Args:
        status: the HTTP status.
        reason: one sentence for the user.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(status, reason, {'Retry-After': '5'} if status == 503 else None)


def busy() -> Refused:
    """Return the refusal of a server that has too much to do."""
    return Refused(503, 'The server is busy. Try again in a few seconds.')


def full() -> Refused:
    """Return the refusal of a page that keeps as many files as it may."""
    return Refused(507, 'The store is full. Files are deleted after an hour: try again later.')
