"""What the kernel's own terms for a refusal mean to a person.

Source: the reasons that ``offline_pages()`` and ``add_memory_resource()`` give
into the kernel's log, most of them at debug level only.
"""

OFFLINE_REASONS = frozenset(
    {
        "memory holes",
        "multizone range",
        "failure to isolate range",
        "notifier failure",
        "signal backoff",
        "unmovable page",
        "failure to dissolve huge pages",
    }
)
"""All seven that ``offline_pages()`` can give."""

_MEANINGS = {
    "multizone range": "the block lies in two zones or on two nodes, and Linux never takes "
    "such a block offline",
    "memory holes": "a part of the block is no RAM, and Linux never takes such a block offline",
    "failure to isolate range": "it holds pages that cannot be moved elsewhere",
    "notifier failure": "a driver vetoed it",
    "signal backoff": "it was interrupted, and the block is online as before",
    "unmovable page": "a page in it was given away by a driver that still holds it",
    "failure to dissolve huge pages": "free huge pages in it are promised to somebody, or there "
    "is no memory to take them apart; add some on another node, as '--prepare hugepages' does",
    "no room for the memory map": "the kernel zones have too little free memory for the page "
    "structures, 1/64 of what is added",
    "not aligned to the memory block size": "start and size have to be multiples of it",
    "something is at these addresses": "another device or memory has them",
    "exceeds the maximum addressable range": "this kernel's page tables do not reach so far",
}


def meaning_of(reason: str) -> str | None:
    """Explain a kernel's reason; ``None`` where it explains itself."""
    term, _, detail = reason.partition(": ")
    meaning = _MEANINGS.get(term)
    if meaning is None or not detail:
        return meaning
    return f"{meaning} ({detail})"
