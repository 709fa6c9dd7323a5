"""Write video files with new frames and all other streams of another video."""

import contextlib
import io
import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import ColorizeError
from .film_reader import FilmReader, is_cover
from .films import CONTAINERS, reason_of, require_av
from .yuv import FULL_RANGE, LIMITED_RANGE, encoding_of, plane


@dataclass(frozen=True)
class _Encoder:
    """An encoder: its name in FFmpeg, its default and worst quality, and other options."""

    name: str
    crf: int | None = None
    worst: int = 51
    options: dict[str, str] = field(default_factory=dict)


# At the default quality, differences from the input are hard to see.
_ENCODERS = {
    'h264': _Encoder('libx264', 17),
    'hevc': _Encoder('libx265', 20, 51, {'x265-params': 'log-level=none', 'forced-idr': '1'}),
    'vp9': _Encoder('libvpx-vp9', 24, 63, {'b': '0', 'row-mt': '1', 'cpu-used': '4'}),
    'av1': _Encoder('libsvtav1', 24, 63, {'preset': '8'}),
    'ffv1': _Encoder('ffv1'),
}
# An input with at least this many bits per pixel has noise or detail that the default would smooth.
_RICH = 1
_BETTER = 6  # about twice the bits
_FINE_RATE = Fraction(120)  # moves frames by 1/240 s at most
_KEY = 1  # the type of a frame that needs no other one
# Tags that describe the original file and are wrong for the new one.
_STALE_TAGS = ('encoder', 'major_brand', 'minor_version', 'compatible_brands', 'duration')
_STALE_STATISTICS = ('bps', 'number_of_', '_statistics')
# The tags that MP4 and MOV files can store without `use_metadata_tags`.
_MP4_TAGS = {
    *('title', 'artist', 'album_artist', 'composer', 'album', 'date', 'comment', 'genre'),
    *('copyright', 'grouping', 'lyrics', 'description', 'synopsis', 'show', 'episode_id'),
    *('network', 'keywords', 'creation_time', 'make', 'model'),
}


@dataclass(frozen=True)
class FilmOptions:
    """The encoder settings of a video.

    Attributes:
        crf: the quality in the units of the encoder (lower is better); None is a high quality, and
            a higher one for an input with many bits per pixel.
        preset: the speed preset of the encoder, a name or a number; None is the default.
    """

    crf: float | None = None
    preset: str | None = None


class FilmWriter:
    """A context manager that writes a copy of a video with new frames.

    The other streams are copied packet by packet. The file is complete when the context ends
    without an error.

    Args:
        path: the file to write.
        suffix: the suffix of its final name, which sets the container.
        film: the original video.
        options: see `FilmOptions`.

    Attributes:
        encoding: the color encoding of the frames.
        left_out: kind and codec, or file name, of each stream that the container cannot hold.
        lost: what of the video itself is not kept.
        out_of_order: how many frames and packets were moved behind the previous one of their
            stream, because their time is not later.

    Raises:
        ColorizeError: if the encoder does not accept the options.
    """

    def __init__(self, path: Path, suffix: str, film: FilmReader, options: FilmOptions):
        self._av = require_av()
        container, default = CONTAINERS[suffix.lower()]
        flags = {'movflags': 'use_metadata_tags'} if _has_other_tags(film, container) else {}
        with contextlib.ExitStack() as stack:
            self._output = stack.enter_context(
                self._av.open(f'file:{path}', 'w', format=container, container_options=flags)
            )
            tags = {k: v for k, v in film.metadata.items() if k.lower() not in _STALE_TAGS}
            self._output.metadata.update(tags)
            self._output.set_chapters(film.chapters)
            codec = film.stream.codec_context.codec.canonical_name
            encoder = _ENCODERS[codec if self._can_keep(codec, film, container) else default]
            if encoder.name == 'libsvtav1':
                os.environ.setdefault('SVT_LOG', '1')  # otherwise it prints its settings
            self._stream = self._add_video(encoder, film, options, container)
            self._format = self._stream.pix_fmt
            self.left_out: list[str] = []
            self.lost = _lost(film, container)
            self.out_of_order = 0
            self._time: Fraction | None = None  # of the last frame, in the original
            self._held: Any = None  # the last frame, until its duration is known
            self._longer = False  # whether it is shown for longer than the one before
            self._durations: dict[int, int] = {}  # of frames in the encoder, by their time
            self._order: dict[int, tuple[Fraction, int]] = {}  # the same of the other streams
            strict = not self._output.format.flags & self._av.format.Flags.ts_nonstrict.value
            self._step = int(strict)  # the least difference of two times that the container allows
            self._converted: set[int] = set()
            self._copies = {s.index: self._copy_of(s, film, container) for s in film.others}
            try:
                self._output.start_encoding()
            except self._av.FFmpegError as error:
                raise ColorizeError(
                    f'the encoder {encoder.name} cannot be started ({reason_of(error)}): '
                    'see --crf and --preset'
                ) from error
            self._stack = stack.pop_all()

    def __enter__(self) -> 'FilmWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self._held is not None:
                    if self._longer:
                        # In MP4, the last stored packet has the duration of the last frame, so
                        # that no other frame may be stored after it.
                        self._held.pict_type = _KEY
                    self._encode(self._held)
                self._encode(None)
        finally:
            self._stack.close()

    def canvas(self, frame: Any) -> Any:
        """Return a frame in the stored format with the luma of this one, ready for new chroma.

        It can be the same frame. This is the only method that several threads may call.
        """
        stream, first = self._stream, self.encoding
        same_size = (frame.width, frame.height) == (stream.width, stream.height)
        if frame.format.name == self._format and same_size:
            frame.make_writable()
            return frame
        range_ = FULL_RANGE if first.full_range else LIMITED_RANGE
        # A new frame would not know its fields, if it is interlaced.
        copy = frame.reformat(
            stream.width,
            stream.height,
            self._format,
            src_color_range=None if frame.format.is_rgb else range_,
            dst_color_range=range_,
            dst_colorspace=first.matrix,
        )
        if frame.format.name in _SAME_LUMA.get(self._format, ()) and same_size:
            plane(copy, 0)[:] = plane(frame, 0)
        return copy

    def write(self, frame: Any) -> None:
        """Write the next frame at its own time, or just behind the previous one."""
        frame.pict_type = 0  # the encoder chooses the type, not the input
        frame.colorspace = self.encoding.matrix
        held, self._held = self._held, frame
        self._set_time(frame, held)
        if held is not None:
            held.duration = frame.pts - held.pts
            self._longer = frame.duration > held.duration
            self._encode(held)

    def copy(self, packets: list[Any]) -> None:
        """Copy packets of the other streams."""
        for packet in packets:
            stream = self._copies.get(packet.stream.index)
            if stream is None:
                continue
            if packet.dts is None and is_cover(packet.stream):
                packet.pts = packet.dts = 0
            if packet.dts is not None and packet.stream.index in self._converted:
                packet = self._as_text(packet, stream)
            if packet.dts is not None:
                self._put_in_order(packet, stream)
                packet.stream = stream
                self._output.mux(packet)

    def _encode(self, frame: Any) -> None:
        """Encode a frame, or all that remain. Not every encoder keeps their durations."""
        if frame is not None:
            self._durations[frame.pts] = frame.duration
        for packet in self._stream.encode(frame):
            packet.duration = self._durations.pop(packet.pts, 0) or packet.duration
            self._output.mux(packet)

    def _set_time(self, frame: Any, held: Any) -> None:
        """Give a frame a time in the unit of the encoder, which refuses one that is not later."""
        base, last = self._stream.codec_context.time_base, self._time
        time = last if frame.pts is None else frame.pts * frame.time_base
        pts = 0 if time is None else round(time / base)
        if held is not None:
            self.out_of_order += time is not None and last is not None and time <= last
            pts = max(pts, held.pts + 1)
        frame.duration = round(frame.duration * frame.time_base / base)
        frame.pts, frame.time_base, self._time = pts, base, time

    def _put_in_order(self, packet: Any, stream: Any) -> None:
        """Move a packet behind the previous one, because FFmpeg refuses it otherwise.

        Subtitles and data may have any order.
        """
        if stream.type in ('subtitle', 'data'):
            return
        time = packet.dts * packet.time_base
        packet.rescale_ts(self._av.AVRational(*stream.time_base.as_integer_ratio()))
        if stream.index in self._order:
            last, dts = self._order[stream.index]
            # Times that were rounded can be equal in an intact file.
            self.out_of_order += time < last
            packet.dts = max(packet.dts, dts + self._step)
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

    def _can_keep(self, codec: str, film: FilmReader, container: str) -> bool:
        if codec not in _ENCODERS or codec not in self._output.supported_codecs:
            return False
        # FFV1 does not store the range and the matrix; of the containers, MKV always does.
        usual = encoding_of(film.first, 8).is_usual(film.first.height)
        return codec != 'ffv1' or container == 'matroska' or usual

    def _add_video(
        self, encoder: _Encoder, film: FilmReader, options: FilmOptions, container: str
    ) -> Any:
        source, first = film.stream, film.first
        formats = [f.name for f in self._av.Codec(encoder.name, 'w').video_formats]
        format_ = _choose_format(first, formats, encoder.name)
        self.encoding = encoding_of(first, self._av.VideoFormat(format_).components[0].bits)
        settings = dict(encoder.options)
        if encoder.crf is not None:
            crf = options.crf
            if crf is None:
                crf = encoder.crf - (_BETTER if film.bits_per_pixel >= _RICH else 0)
            if not 0 <= crf <= encoder.worst:
                raise ColorizeError(
                    f'crf of {encoder.name} must be from 0 to {encoder.worst}, got {crf:g}'
                )
            settings['crf'] = str(crf)
            if options.preset is not None:
                name = 'cpu-used' if encoder.name == 'libvpx-vp9' else 'preset'
                settings[name] = options.preset
        rate, base = source.average_rate or source.guessed_rate or 25, source.time_base
        if container == 'avi':
            rate = _even_rate(source)
            base = 1 / Fraction(rate)
        stream = self._output.add_stream(encoder.name, rate=rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, format_
        stream.time_base = stream.codec_context.time_base = base
        context = stream.codec_context
        if source.sample_aspect_ratio:
            context.sample_aspect_ratio = source.sample_aspect_ratio
        context.color_range = FULL_RANGE if self.encoding.full_range else LIMITED_RANGE
        context.colorspace = self.encoding.matrix
        context.color_trc, context.color_primaries = first.color_trc, first.color_primaries
        if container == 'avi':
            context.max_b_frames = 0  # AVI does not store times, so frames must be in order
        if encoder.name == 'libx265' and container in ('mp4', 'mov'):
            context.codec_tag = 'hvc1'  # the only tag that Apple's programs accept
        if first.interlaced_frame:
            flags = self._av.codec.context.Flags
            context.flags |= flags.interlaced_dct | flags.interlaced_me
        if film.display_matrix is not None:
            stream.set_display_matrix(film.display_matrix)
        _copy_description(source, stream)
        return stream

    def _copy_of(self, source: Any, film: FilmReader, container: str) -> Any:
        cover = film.covers.get(source.index)
        if container == 'matroska' and cover is not None:
            kind = 'png' if source.name == 'png' else 'jpeg'
            name = source.metadata.get('filename', f'cover.{kind}')
            self._output.add_attachment(name, f'image/{kind}', cover)
            return None
        timecode = source.type == 'data' and 'timecode' in source.metadata
        if timecode and 'timecode' in film.stream.metadata and container != 'avi':
            return None  # the tag of the video stream is copied, which stores it again
        try:
            if source.codec_context is None:
                self._try_without_codec(source, container)
            stream = self._output.add_stream_from_template(source, opaque=True)
        except (ValueError, self._av.FFmpegError):
            name = getattr(source, 'name', None)  # FFmpeg does not know all codecs
            if container in _TEXT_OF and _is_text(source):
                return self._conversion_of(source, _TEXT_OF[container])
            self.left_out.append(f'{source.type} {name}' if name else source.type)
            return None
        _copy_description(source, stream)
        return stream

    def _conversion_of(self, source: Any, codec: str) -> Any:
        source.codec_context.open(strict=False)  # which makes the header
        stream = self._output.add_stream(codec)
        stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        stream.time_base = stream.codec_context.time_base = source.time_base
        self._converted.add(source.index)
        _copy_description(source, stream)
        return stream

    def _try_without_codec(self, source: Any, container: str) -> None:
        """Raise an error unless the container can hold a data stream or an attachment.

        Only starting a file tells, except where FFmpeg drops the stream or writes a damaged file.
        """
        if (source.type == 'attachment') != (container == 'matroska') or container in _NO_DATA:
            raise ValueError
        with self._av.open(io.BytesIO(), 'w', format=container) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()


# Codecs of subtitles that are text with little more, and that of each container.
_TEXTS = ('subrip', 'mov_text', 'webvtt')
_TEXT_OF = {'mp4': 'mov_text', 'mov': 'mov_text', 'matroska': 'subrip'}
_NO_DATA = ('avi', 'webm')  # neither data nor attachments
_UPRIGHT = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]  # the display matrix of no rotation
# What encoders get as side data, which PyAV does not give them.
_HDR = {
    'MASTERING_DISPLAY_METADATA': 'mastering display',
    'CONTENT_LIGHT_LEVEL': 'content light level',
}
# Formats with the same first plane.
_SAME_LUMA = {
    'yuv420p': ('gray', 'yuvj420p', 'nv12', 'nv21'),
    'yuv422p': ('yuvj422p', 'nv16'),
    'yuv444p': ('gray', 'yuvj444p'),
    'yuv420p10le': ('gray10le',),
    'yuv444p10le': ('gray10le',),
}


def _even_rate(source: Any) -> Fraction:
    """Return a frame rate for AVI, which numbers the frames and leaves gaps for longer ones."""
    rate = Fraction(source.guessed_rate or source.average_rate or 25)
    # FFmpeg found no rate whose multiples the times are.
    variable = source.base_rate and source.base_rate > 2 * rate
    return max(rate, _FINE_RATE) if variable else rate


def _lost(film: FilmReader, container: str) -> list[str]:
    """Name what of a video the new one does not have."""
    lost = []
    if container == 'avi' and film.display_matrix not in (None, _UPRIGHT):
        lost.append('rotation')
    if any(part.is_alpha for part in film.first.format.components):
        lost.append('transparency')
    return lost + [name for kind, name in _HDR.items() if film.first.side_data.get(kind)]


def _is_text(stream: Any) -> bool:
    """Return whether a stream has subtitles of `_TEXTS`."""
    context = stream.codec_context if stream.type == 'subtitle' else None
    return context is not None and context.codec.canonical_name in _TEXTS


def _choose_format(frame: Any, formats: list[str], encoder: str) -> str:
    """Return the pixel format to store: that of the frame, or the nearest planar YUV format."""
    own = frame.format
    odd = (frame.width | frame.height) & 1 and encoder in ('libx264', 'libx265')
    if own.name in formats and own.name.startswith('yuv') and not odd:
        return own.name
    if odd or (own.is_rgb and not own.has_palette):
        layout = '444'
    elif len(own.components) < 3:
        layout = '420'
    else:
        layout = {(2, 2): '420', (2, 1): '422', (1, 1): '444'}.get(
            (own.width // own.chroma_width(), own.height // own.chroma_height()), '420'
        )
    deep = '10le' if max(part.bits for part in own.components) > 8 else ''
    wanted = (f'yuv{layout}p{deep}', f'yuv420p{deep}', f'yuv{layout}p', 'yuv420p')
    return next(name for name in wanted if name in formats)


def _copy_description(source: Any, stream: Any) -> None:
    """Copy the metadata and the disposition of a stream."""
    tags = source.metadata
    if source.type == 'video':
        tags = {
            name: text
            for name, text in tags.items()
            if name.lower() not in _STALE_TAGS and not name.lower().startswith(_STALE_STATISTICS)
        }
    stream.metadata.update(tags)
    stream.disposition = source.disposition


def _has_other_tags(film: FilmReader, container: str) -> bool:
    """Return whether MP4 or MOV would lose a tag."""
    tags = {name.lower().partition('-')[0] for name in film.metadata}
    return container in ('mp4', 'mov') and bool(tags - _MP4_TAGS - {*_STALE_TAGS})
