"""Find the problems of a video file while it is read."""

import re
from typing import Any

# The tag of a stream in MKV, which has no other place for the duration of one.
_DURATION = re.compile(r'(\d+):(\d\d):(\d\d(?:\.\d+)?)')


class FilmHealth:
    """Collects what is damaged or missing in a video file.

    Args:
        stream: the video stream that is decoded.
        file_seconds: the duration that the file states, which is that of its longest stream.

    Attributes:
        stopped: why the file cannot be read to its end; empty if it can.
    """

    def __init__(self, stream: Any, file_seconds: float | None):
        self._stream, self._file_seconds = stream, file_seconds
        self.stopped = ''
        self._damaged = 0
        self._first_damaged: float | None = None
        self._packets = self._frames = self._refused = self._resized = 0
        self._size: tuple[int, int] | None = None  # of the first frame
        self._has_fields = False
        self._ends_at = self._last_end = 0.0  # of the video, and of all streams

    def note_packet(self, packet: Any) -> None:
        """Note a packet of the video before it is decoded."""
        # MP4 discards frames before the place where a trimmed film starts.
        if packet.size and not packet.is_discard and not _is_hidden(packet):
            self._packets += 1

    def note_refused(self, time: int | None) -> None:
        """Note that the last packet cannot be decoded."""
        self._note_damage(time)
        self._refused += 1

    def note_frame(self, frame: Any) -> None:
        """Note a decoded frame."""
        self._frames += 1
        self._has_fields |= frame.interlaced_frame
        size = frame.width, frame.height
        self._size = self._size or size
        self._resized += size != self._size
        if frame.is_corrupt:
            self._note_damage(frame.pts)

    def note_end(self, packet: Any) -> None:
        """Note where a packet of any stream ends."""
        start = packet.dts if packet.pts is None else packet.pts
        if start is None or packet.time_base is None:
            return
        end = float((start + (packet.duration or 0)) * packet.time_base) - _start_of(self._stream)
        if packet.stream.index == self._stream.index:
            if not packet.duration and self._stream.average_rate:
                end += float(1 / self._stream.average_rate)
            self._ends_at = max(self._ends_at, end)
        self._last_end = max(self._last_end, end)

    @property
    def remark(self) -> str:
        """Return the problems in one line; it is empty if there are none."""
        remarks = []
        if self._damaged:
            first = self._first_damaged
            place = '' if first is None else f', the first at {first:.2f} s'
            what = 'frame is' if self._damaged == 1 else 'frames are'
            remarks.append(f'{self._damaged} {what} damaged{place}')
        if missing := self._missing:
            what, they = ('frame', 'it is') if missing == 1 else ('frames', 'they are')
            verb = 'repeats' if missing == 1 else 'repeat'
            remarks.append(
                f'{missing} {what} gave no picture ({they} damaged, or {verb} the previous one)'
            )
        if self._resized:
            what = 'frame is' if self._resized == 1 else 'frames are'
            remarks.append(f'{self._resized} {what} scaled to the size of the first one')
        if self.stopped:
            remarks.append(f'it cannot be read after {self._ends_at:.2f} s ({self.stopped})')
        else:
            own, whole = seconds_of(self._stream), self._file_seconds
            ends_at, seconds = (self._last_end, whole) if own is None else (self._ends_at, own)
            if seconds and ends_at < seconds - 1:
                remarks.append(f'it ends at {ends_at:.2f} s of {seconds:.2f} s')
        return '; '.join(remarks)

    @property
    def _missing(self) -> int:
        """Return how many packets gave no frame without an error.

        Two fields can be one frame, so interlaced films are not counted.
        """
        missing = self._packets - self._refused - self._frames
        return 0 if self._has_fields else max(0, missing)

    def _note_damage(self, time: int | None) -> None:
        if not self._damaged and time is not None and self._stream.time_base is not None:
            start = self._stream.start_time or 0
            self._first_damaged = float((time - start) * self._stream.time_base)
        self._damaged += 1


def seconds_of(stream: Any) -> float | None:
    """Return the duration of a stream; None if the file does not state it."""
    stated = _DURATION.fullmatch(stream.metadata.get('DURATION', ''))
    if stated:
        hours, minutes, seconds = map(float, stated.groups())
        return 3600 * hours + 60 * minutes + seconds - _start_of(stream)  # it is that of the end
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None


def _start_of(stream: Any) -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _is_hidden(packet: Any) -> bool:
    """Return whether a packet of VP8 is only a reference for other frames, and never shown."""
    return packet.stream.name == 'vp8' and not bytes(packet)[0] & 0x10
