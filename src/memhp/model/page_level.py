"""What the rest of the model asks of the pages, where a machine has any; no numpy here."""

from typing import Protocol


class PageLevel(Protocol):
    """The pages of a machine (``memhp.model.pages.pages.Pages``).

    A machine of which no page was ever touched has none of this, and blocks
    and zones are all that is known.
    """
