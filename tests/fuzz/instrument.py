"""Watching which code runs, for whoever imports memhp afterwards. This imports none of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def instrumented() -> Iterator[bool]:
    """Watch which code of memhp runs, of what is imported from now on; whether that can be done."""
    if "--unguided" in sys.argv:
        yield False
        return
    try:
        import atheris
    except ImportError:
        yield False
        return
    assert not any(name.split(".")[0] == "memhp" for name in sys.modules)
    with atheris.instrument_imports(include=["memhp"]):
        yield True
