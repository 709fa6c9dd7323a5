"""The tags of videos and of their streams."""

from typing import Any

from .film_reader import FilmReader

# Tags that describe the original file and are wrong for the new one.
_STALE_TAGS = (
    *('encoder', 'software', 'major_brand', 'minor_version', 'compatible_brands', 'duration'),
    'alpha_mode',  # of a WebM stream with transparency, which its encoder does not get
)
_STALE_STATISTICS = ('bps', 'number_of_', '_statistics')
# The tags that the formats can store; MP4 and MOV without `use_metadata_tags`.
_COMMON = {'title', 'artist', 'album', 'date', 'comment', 'genre', 'copyright'}
_KNOWN = {
    'avi': _COMMON | {'language', 'track', 'timecode', 'encoded_by'},
    'mov': _COMMON | {'creation_time', 'make', 'model'},
    'mp4': {
        *_COMMON,
        *('album_artist', 'composer', 'creation_time', 'description', 'episode_id', 'grouping'),
        *('keywords', 'lyrics', 'network', 'show', 'synopsis'),
    },
}
# MP4 stores these, too, but only as numbers.
_MP4_NUMBERS = {
    *('compilation', 'disc', 'episode_sort', 'gapless_playback', 'hd_video', 'media_type'),
    *('season_number', 'track'),
}


def lasting_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that are also right for the new file."""
    return {
        name: text
        for name, text in tags.items()
        if name.lower() not in _STALE_TAGS and not name.lower().startswith(_STALE_STATISTICS)
    }


def copy_description(source: Any, stream: Any) -> None:
    """Copy the metadata and the disposition of a stream."""
    tags = source.metadata
    stream.metadata.update(lasting_tags(tags) if source.type == 'video' else tags)
    stream.disposition = source.disposition


def needs_other_tags(film: FilmReader, container: str) -> bool:
    """Return whether MP4 or MOV needs `use_metadata_tags`, with which MP4 stores no covers."""
    if container not in ('mp4', 'mov') or (container == 'mp4' and film.covers):
        return False
    return bool(_other_tags(film, _KNOWN[container]))


def dropped_tags(film: FilmReader, container: str) -> list[str]:
    """Return the names of the tags that the new file cannot store."""
    if container == 'avi':
        return _other_tags(film, _KNOWN['avi'])
    if container == 'mp4' and film.covers:
        return _other_tags(film, _KNOWN['mp4'] | _MP4_NUMBERS)
    return []


def _other_tags(film: FilmReader, known: set[str]) -> list[str]:
    tags = lasting_tags(film.metadata)
    return [name for name in tags if name.lower().partition('-')[0] not in known]
