"""Choose some of many items."""


def spread(count: int, total: int) -> list[int]:
    """Return up to `count` indices below `total`, evenly spread and starting at 0."""
    count = min(count, total)
    return [i * total // count for i in range(count)]
