"""Copy the other streams of a video: its sound, subtitles, data, attachments and covers."""

import contextlib
import io
from typing import Any

from .film_reader import FilmReader, is_cover
from .film_sound import AviShifts, fitting_sound, set_layout
from .film_tags import copy_description
from .films import require_av

# Codecs of subtitles that are text with little more, and that of each container.
_TEXTS = ('subrip', 'mov_text', 'webvtt')
_TEXT_OF = {'mp4': 'mov_text', 'mov': 'mov_text', 'matroska': 'subrip'}
_NO_DATA = ('avi', 'webm')  # neither data nor attachments


class StreamCopier:
    """Copies the packets of all streams but the video that is colorized.

    Args:
        output: the new file. Its header must not be written yet.
        container: the name of its format.
        film: the original video.

    Attributes:
        left_out: kind and codec, or file name, of each stream that the container cannot hold.
        out_of_order: how many packets were moved behind the previous one of their stream, because
            their time is not later.
        shifts: how far sound moves in AVI.
        uncolored: how many more videos there are, which are copied as they are.
    """

    def __init__(self, output: Any, container: str, film: FilmReader):
        self._av = require_av()
        self._output, self._container, self._film = output, container, film
        self.left_out: list[str] = []
        self.uncolored = 0
        self.out_of_order = 0
        # The last time of each stream, in the original and in the copy.
        self._order: dict[int, tuple[int, int]] = {}
        self.shifts = AviShifts(film)
        strict = not output.format.flags & self._av.format.Flags.ts_nonstrict.value
        self._step = int(strict)  # the least difference of two times that the container allows
        self._converted: set[int] = set()
        self._copies = {s.index: self._copy_of(s) for s in film.others}

    def copy(self, packets: list[Any]) -> None:
        """Copy packets of the other streams."""
        for packet in packets:
            stream = self._copies.get(packet.stream.index)
            if stream is None:
                continue
            if packet.dts is None and is_cover(packet.stream):
                packet.pts = packet.dts = 0
            if packet.stream.index in self._converted:
                packet = self._as_text(packet, stream)
            if packet.pts is None and packet.dts is None:
                continue
            if self._container == 'avi' and stream.type == 'audio':
                self.shifts.note(packet, stream)
                self._move_to_start(packet)
            self._put_in_order(packet, stream)
            packet.stream = stream
            self._output.mux(packet)

    def _move_to_start(self, packet: Any) -> None:
        """Move a packet of sound as the frames are moved, of which the first one is at 0.

        AVI stores sound from before it behind 0. With a time below 0, FFmpeg would move the frames.
        """
        start = round(self._film.start / packet.time_base)
        if packet.dts is not None:
            packet.dts = max(0, packet.dts - start)
        if packet.pts is not None:
            packet.pts = max(0, packet.pts - start)

    def _put_in_order(self, packet: Any, stream: Any) -> None:
        """Move a packet behind the previous one, because FFmpeg refuses it otherwise.

        Packets of subtitles and data can have the same time.
        """
        last, dts = self._order.get(stream.index, (packet.pts or packet.dts or 0, None))
        if packet.dts is None:  # FFmpeg does not know those of the first frames in MKV
            packet.dts = last
        time = packet.dts
        if stream.type == 'audio' and not packet.duration:  # MP4 drops a last packet without it
            packet.duration = max(0, time - last)
        packet.rescale_ts(self._av.AVRational(*stream.time_base.as_integer_ratio()))
        if dts is not None:
            # Times that were rounded can be equal in an intact file.
            self.out_of_order += time < last
            step = 0 if stream.type in ('subtitle', 'data') else self._step
            packet.dts = max(packet.dts, dts + step)
        if packet.pts is not None:
            packet.pts = max(packet.pts, packet.dts)
        self._order[stream.index] = time, packet.dts

    def _as_text(self, packet: Any, stream: Any) -> Any:
        """Return a packet of subtitles in the format of a stream; an empty one without text."""
        try:
            text = packet.stream.codec_context.decode2(packet)
        except self._av.FFmpegError:  # the text is not in UTF-8
            text = None
            damaged = f'a part of {packet.stream.type} {packet.stream.name}'
            if damaged not in self.left_out:
                self.left_out.append(damaged)
        if not text:
            return self._av.Packet()
        new = stream.codec_context.encode_subtitle(text)
        new.time_base, new.duration = packet.time_base, packet.duration
        new.pts, new.dts = packet.pts, packet.dts
        return new

    def _copy_of(self, source: Any) -> Any:
        film, container = self._film, self._container
        cover = film.covers.get(source.index)
        if container == 'matroska' and cover is not None:
            kind = 'png' if source.name == 'png' else 'jpeg'
            name = source.metadata.get('filename', f'cover.{kind}')
            self._output.add_attachment(name, f'image/{kind}', cover)
            return None
        if container != 'mp4' and cover is not None:
            self.left_out.append('cover picture')
            return None
        timecode = source.type == 'data' and 'timecode' in source.metadata
        if timecode and 'timecode' in film.stream.metadata and container != 'avi':
            return None  # the tag of the video stream is copied, which stores it again
        try:
            with self._template_of(source) as template:
                if not is_cover(source):
                    self._try_header(template)
                stream = self._output.add_stream_from_template(template, opaque=True)
        except (ValueError, self._av.FFmpegError):
            name = getattr(source, 'name', None)  # FFmpeg does not know all codecs
            if container in _TEXT_OF and _is_text(source):
                return self._conversion_of(source, _TEXT_OF[container])
            self.left_out.append(f'{source.type} {name}' if name else source.type)
            return None
        if source.type == 'audio':
            set_layout(source, stream)
        self.uncolored += source.type == 'video' and not is_cover(source)
        copy_description(source, stream)
        return stream

    def _template_of(self, source: Any) -> contextlib.AbstractContextManager[Any]:
        if source.type == 'video' and self._container == 'avi':
            raise ValueError  # it would get a frame rate of 1 / time base, filled with empty frames
        if source.type == 'audio' and source.codec_context is not None:
            return fitting_sound(source, self._container, self._film)
        return contextlib.nullcontext(source)

    def _conversion_of(self, source: Any, codec: str) -> Any:
        source.codec_context.open(strict=False)  # which makes the header
        stream = self._output.add_stream(codec)
        stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        stream.time_base = stream.codec_context.time_base = source.time_base
        self._converted.add(source.index)
        copy_description(source, stream)
        return stream

    def _try_header(self, source: Any) -> None:
        """Raise an error unless the container can hold a stream.

        Only starting a file tells, except where FFmpeg drops the stream or writes a damaged file.
        """
        container = self._container
        attached = source.type == 'attachment'
        if source.codec_context is None and (
            attached != (container == 'matroska') or container in _NO_DATA
        ):
            raise ValueError
        with self._av.open(io.BytesIO(), 'w', format=container) as trial:
            trial.add_stream_from_template(source, opaque=True)
            trial.start_encoding()


def _is_text(stream: Any) -> bool:
    """Return whether a stream has subtitles of `_TEXTS`."""
    context = stream.codec_context if stream.type == 'subtitle' else None
    return context is not None and context.codec.canonical_name in _TEXTS
