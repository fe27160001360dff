"""Amounts of memory for a person."""


def amount(size_bytes: int) -> str:
    """Two digits behind the point at most, in the largest unit that leaves a whole part."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20)):
        if size_bytes >= 1 << shift:
            text = f"{size_bytes / (1 << shift):.2f}".rstrip("0").rstrip(".")
            return f"{text} {unit}"
    return f"{size_bytes >> 10} KiB" if size_bytes else "0"
