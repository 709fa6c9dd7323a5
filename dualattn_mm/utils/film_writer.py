"""Write video files with new frames and all other streams of another video."""

import contextlib
import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import ColorizeError, reason_of, shortened
from .film_copies import StreamCopier
from .film_losses import lost_parts
from .film_reader import FilmReader
from .film_tags import copy_description, lasting_tags, needs_other_tags
from .films import CONTAINERS, require_av
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
_SYNC = 0.04  # seconds that sound may move unnoticed
_KEY = 1  # the type of a frame that needs no other one


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

    The file is complete when the context ends without an error.

    Args:
        path: the file to write.
        suffix: the suffix of its final name, which sets the container.
        film: the original video.
        options: see `FilmOptions`.

    Attributes:
        encoding: the color encoding of the frames.
        others: copies the other streams.
        remarks: what of the film was changed or could not be kept; complete after the context.

    Raises:
        ColorizeError: if the encoder does not accept the options.
    """

    def __init__(self, path: Path, suffix: str, film: FilmReader, options: FilmOptions):
        self._av, self._suffix = require_av(), suffix
        container, default = CONTAINERS[suffix.lower()]
        flags = {'movflags': 'use_metadata_tags'} if needs_other_tags(film, container) else {}
        with contextlib.ExitStack() as stack:
            self._output = stack.enter_context(
                self._av.open(f'file:{path}', 'w', format=container, container_options=flags)
            )
            self._output.metadata.update(lasting_tags(film.metadata))
            self._output.set_chapters(film.chapters)
            codec = film.stream.codec_context.codec.canonical_name
            encoder = _ENCODERS[codec if self._can_keep(codec, film, container) else default]
            if encoder.name == 'libsvtav1':
                os.environ.setdefault('SVT_LOG', '1')  # otherwise it prints its settings
            self._stream = self._add_video(encoder, film, options, container)
            self._format = self._stream.pix_fmt
            format_ = self._av.VideoFormat(self._format)
            self._lost = lost_parts(film, container, encoder.name, format_)
            self._ignored = encoder.crf is None and options != FilmOptions()
            self._out_of_order = 0
            self._time: Fraction | None = None  # of the last frame, in the original
            # FFmpeg stores the first frame of AVI at 0, and only the others at their times.
            self._start = film.start if container == 'avi' else 0
            self._held: Any = None  # the last frame, until its duration is known
            self._longer = False  # whether it is shown for longer than the one before
            self._durations: dict[int, int] = {}  # of frames in the encoder, by their time
            self.others = StreamCopier(self._output, container, film)
            try:
                self._stream.codec_context.open()
            except self._av.FFmpegError as error:
                raise ColorizeError(
                    f'the encoder {encoder.name} cannot be started ({reason_of(error)}): '
                    'see --crf and --preset'
                ) from error
            self._output.start_encoding()
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

    @property
    def remarks(self) -> list[str]:
        remarks = []
        if moved := self._out_of_order + self.others.out_of_order:
            remarks.append(f'{moved} {"time is" if moved == 1 else "times are"} out of order')
        if left_out := self.others.left_out:
            what = f'{len(left_out)} ({shortened(left_out)})'
            remarks.append(f'streams that {self._suffix} cannot hold: {what}')
        if uncolored := self.others.uncolored:
            what = 'stream was' if uncolored == 1 else 'streams were'
            remarks.append(f'{uncolored} more video {what} copied without colors')
        if (shift := self.others.shifts.most) > _SYNC:
            remarks.append(
                f'sound moves by up to {float(shift):.2f} s, because AVI stores no times'
            )
        if self._ignored:
            remarks.append('FFV1 is lossless, so --crf and --preset have no effect')
        if self._lost:
            remarks.append(f'not kept: {", ".join(self._lost)}')
        return remarks

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
        pts = 0 if time is None else round((time - self._start) / base)
        if held is not None:
            self._out_of_order += time is not None and last is not None and time <= last
            pts = max(pts, held.pts + 1)
        frame.duration = round(frame.duration * frame.time_base / base)
        frame.pts, frame.time_base, self._time = pts, base, time

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
        copy_description(source, stream)
        return stream


# Formats with the same first plane.
_SAME_LUMA = {
    'yuv420p': ('gray', 'yuvj420p', 'nv12', 'nv21'),
    'yuv422p': ('yuvj422p', 'nv16'),
    'yuv444p': ('gray', 'yuvj444p'),
    **{
        f'yuv{layout}p{bits}le': (f'gray{bits}le',)
        for layout in ('420', '444')
        for bits in (10, 12, 16)
    },
}


def _even_rate(source: Any) -> Fraction:
    """Return a frame rate for AVI, which numbers the frames and leaves gaps for longer ones."""
    rate = Fraction(source.guessed_rate or source.average_rate or 25)
    # FFmpeg found no rate whose multiples the times are.
    variable = source.base_rate and source.base_rate > 2 * rate
    return max(rate, _FINE_RATE) if variable else rate


def _choose_format(frame: Any, formats: list[str], encoder: str) -> str:
    """Return the pixel format to store: that of the frame, or the nearest planar YUV format."""
    own = frame.format
    odd = (frame.width | frame.height) & 1 and encoder in ('libx264', 'libx265')
    # The other encoders would store transparency so that few programs show it.
    kinds = 'yuv' if encoder == 'ffv1' else ('yuv4', 'yuvj4')
    if own.name in formats and own.name.startswith(kinds) and not odd:
        return own.name
    if odd or (own.is_rgb and not own.has_palette):
        layout = '444'
    elif len(own.components) < 3:
        layout = '420'
    else:
        layout = {(2, 2): '420', (2, 1): '422', (1, 1): '444'}.get(
            (own.width // own.chroma_width(), own.height // own.chroma_height()), '420'
        )
    depth = max(part.bits for part in own.components)
    # The same depth, the next higher one, or the next lower one.
    depths = sorted((10, 12, 16), key=lambda bits: (bits < depth, abs(bits - depth)))
    suffixes = [*(f'{bits}le' for bits in depths if depth > 8), '']
    wanted = (f'yuv{shape}p{deep}' for deep in suffixes for shape in (layout, '420'))
    return next(name for name in wanted if name in formats)
