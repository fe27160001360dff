"""Small texts of sysfs and procfs as values; what does not read as one is ``None``."""

from memhp.core.ranges import parse_list


def number(text: str | None, base: int = 10) -> int | None:
    """A whole number, with blanks around it or not."""
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def number_list(text: str | None) -> tuple[int, ...]:
    """The kernel's list format; nothing readable is no number."""
    try:
        return () if text is None else parse_list(text)
    except ValueError:
        return ()


def indexed(name: str, stem: str) -> int | None:
    """The N of a name as ``node1``; ``None`` for any other name."""
    digits = name.removeprefix(stem)
    return int(digits) if digits != name and digits.isascii() and digits.isdecimal() else None
