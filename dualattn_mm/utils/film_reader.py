"""Read video files: decoded frames, and the packets of all other streams."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ColorizeError, reason_of
from .film_health import FilmHealth, seconds_of
from .film_order import AviOrder
from .films import require_av
from .in_color import has_colors, sampled_frames
from .pixels import check_size
from .remote import check_regular

# A film from a stranger can be a playlist, which names other files and addresses.
_SAFE = {'format_whitelist': 'mov,matroska,avi', 'protocol_whitelist': 'file'}


class FilmReader:
    """A context manager for the frames of a video in order, and the packets of all other streams.

    Frames that cannot be decoded are counted and skipped. The previous frame is then shown for
    longer, because every frame keeps its time.

    Args:
        path: the file.
        max_pixels: videos with larger frames are rejected.

    Attributes:
        stream: the video stream that is decoded.
        others: the other streams.
        covers: the content of those that are cover pictures, by their index.
        first: the first frame.
        start: its time in seconds.
        health: the problems of the file.

    Raises:
        ColorizeError: if the file or all of its frames cannot be read. The message does not name
            the file.
    """

    def __init__(self, path: Path, max_pixels: int):
        self._av = require_av()
        self._packets: list[Any] = []
        self._order: AviOrder | None = None
        with self._reading(), contextlib.ExitStack() as stack:
            check_regular(path)
            if not path.stat().st_size:
                raise ColorizeError('the file is empty')
            self._path = path
            try:
                self._container = stack.enter_context(self._open())
            except self._av.ArgumentError as error:  # also of a format that `_SAFE` does not list
                raise ColorizeError(
                    'it is damaged, or its content is not MP4, MOV, MKV, AVI or WebM'
                ) from error
            videos = [s for s in self._container.streams.video if not is_cover(s)]
            if not videos or videos[0].codec_context is None:
                raise ColorizeError('it has no video stream that can be decoded')
            self.stream = videos[0]
            check_size(self.stream.width, self.stream.height, max_pixels)
            # FFmpeg discards the streams of chapters, which it reads as such.
            unread = self._av.stream.Discard.all
            others = (s for s in self._container.streams if s.index != self.stream.index)
            self.others = [s for s in others if s.discard != unread]
            self.health = FilmHealth(self.stream, self._file_seconds())
            if self._container.format.name == 'avi':
                self._order = AviOrder()
                # Each frame then knows the place of its packet.
                self.stream.codec_context.flags |= self._av.codec.context.Flags.copy_opaque
            self._frames = self._decode()
            self.first: Any = next(self._frames, None)
            if self.first is None:
                raise ColorizeError('cannot be read: none of its frames can be decoded')
            self.start = (self.first.pts or 0) * Fraction(self.first.time_base or 0)
            # They come before all else.
            self.covers = {p.stream.index: bytes(p) for p in self._packets if is_cover(p.stream)}
            self._stack = stack.pop_all()

    def __enter__(self) -> 'FilmReader':
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def frame_count(self) -> int | None:
        """Return the approximate number of frames; None if the file does not state it."""
        rate, seconds = self.stream.average_rate, self._seconds()
        return self.stream.frames or (round(seconds * rate) if rate and seconds else None)

    @property
    def bits_per_pixel(self) -> float:
        """Return how many bits store a pixel of the video, about; 0 if the file does not state it.

        MKV does not state the size of a single stream, so that all of them count.
        """
        rate = (self.stream.average_rate or 0) * self.stream.width * self.stream.height
        bits = self.stream.bit_rate or self._container.bit_rate or 0
        return float(bits / rate) if rate else 0.0

    @property
    def metadata(self) -> dict[str, str]:
        """Return the metadata of the file."""
        return self._container.metadata

    @property
    def chapters(self) -> list[Any]:
        """Return the chapters of the file."""
        return self._container.chapters()

    @property
    def display_matrix(self) -> list[int] | None:
        """Return the display matrix, nine numbers, that rotates the video; None without one."""
        data = self.first.side_data.get('DISPLAYMATRIX')
        return None if data is None else np.frombuffer(bytes(data), '<i4').tolist()

    @property
    def quarter_turns(self) -> int:
        """Return how many counterclockwise quarter turns make a stored frame upright."""
        return round(self.first.rotation / 90) % 4

    def in_color(self) -> bool:
        """Return whether one of nine frames, spread over the film, is in color."""
        with self._reading():
            return any(has_colors(frame.to_image()) for frame in self._samples())

    def frames(self) -> Iterator[Any]:
        """Yield all frames; it can be called once."""
        yield self.first
        yield from self._frames

    def take_packets(self) -> list[Any]:
        """Return the packets of the other streams that were read since the last call."""
        packets, self._packets = self._packets, []
        return packets

    def first_packet(self, stream: Any) -> Any:
        """Return the first packet of a stream that is not empty; None if there is none."""
        with self._open() as container:
            packets = container.demux(container.streams[stream.index])
            return next((packet for packet in packets if packet.size), None)

    def _open(self) -> Any:
        return self._av.open(
            f'file:{self._path}', container_options=_SAFE, metadata_errors='replace'
        )

    def _samples(self) -> Iterator[Any]:
        start, base = self.stream.start_time or 0, self.stream.time_base
        with self._open() as container:
            stream = container.streams[self.stream.index]
            seconds = self._seconds()
            if seconds is None:
                length = self._last_time(container.demux(stream)) - start
            else:
                length = int(seconds / base) if base else 0
            for place in sampled_frames(length):
                with contextlib.suppress(self._av.FFmpegError):  # a part that cannot be read
                    container.seek(start + place, stream=stream)
                    if frame := self._first_from(start + place, container.demux(stream)):
                        yield frame

    def _last_time(self, packets: Iterator[Any]) -> int:
        """Return the largest time of some packets, none of which is decoded."""
        last = 0
        with contextlib.suppress(self._av.FFmpegError):  # the file is damaged from there on
            for packet in packets:
                last = max(last, packet.pts or packet.dts or 0)
        return last

    def _first_from(self, pts: int, packets: Iterator[Any]) -> Any:
        for packet in packets:
            with contextlib.suppress(self._av.FFmpegError):  # a damaged frame
                for frame in packet.decode():
                    if frame.pts is None or frame.pts >= pts:
                        return frame
        return None

    def _seconds(self) -> float | None:
        own = seconds_of(self.stream)
        return self._file_seconds() if own is None else own

    def _file_seconds(self) -> float | None:
        return None if self._container.duration is None else self._container.duration / 1e6

    def _decode(self) -> Iterator[Any]:
        for packet in self._demux():
            if packet.stream.index != self.stream.index:
                if packet.size:
                    self._packets.append(packet)
                continue
            self.health.note_packet(packet)
            if self._order and packet.size:
                packet.opaque = packet.dts
                self._order.add(packet.dts)
            try:
                frames = packet.decode()
            except self._av.FFmpegError:
                self.health.note_refused(packet.dts if self._order else packet.pts)
                continue
            for frame in frames:
                if self._order:
                    frame.pts = self._order.time_of(frame)
                self.health.note_frame(frame)
                yield frame

    def _demux(self) -> Iterator[Any]:
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError as error:
                self.health.stopped = reason_of(error)
                packet = None
            if packet is None:
                return
            self.health.note_end(packet)
            yield packet

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            raise ColorizeError(f'cannot be read: {reason_of(error)}') from error


def is_cover(stream: Any) -> bool:
    """Return whether a video stream is a cover picture."""
    return bool(stream.disposition & stream.disposition.attached_pic)
