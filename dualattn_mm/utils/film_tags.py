"""The tags of videos and of their streams."""

from typing import Any

from .film_reader import FilmReader

# Tags that describe the original file and are wrong for the new one.
_STALE_TAGS = ('encoder', 'major_brand', 'minor_version', 'compatible_brands', 'duration')
_STALE_STATISTICS = ('bps', 'number_of_', '_statistics')
# The tags that MP4 and MOV files can store without `use_metadata_tags`.
_MP4_TAGS = {
    *('title', 'artist', 'album_artist', 'composer', 'album', 'date', 'comment', 'genre'),
    *('copyright', 'grouping', 'lyrics', 'description', 'synopsis', 'show', 'episode_id'),
    *('network', 'keywords', 'creation_time', 'make', 'model'),
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


def has_other_tags(film: FilmReader, container: str) -> bool:
    """Return whether MP4 or MOV would lose a tag."""
    tags = {name.lower().partition('-')[0] for name in film.metadata}
    return container in ('mp4', 'mov') and bool(tags - _MP4_TAGS - {*_STALE_TAGS})
