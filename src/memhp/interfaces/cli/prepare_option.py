"""``--prepare``: what is done before blocks go offline, so that they do."""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.words import Preparation


def add_prepare_option(parser: ArgumentParser) -> None:
    """Add ``--prepare``; without it nothing of that is done."""
    parser.add_argument(
        "--prepare",
        metavar="WHAT[,WHAT]",
        help="before blocks go: compact (make room for large pages where they will go), "
        "drop-caches (forget clean page cache, dentries and inodes of the whole machine), "
        "hugepages (move pools of huge pages out of the way, and put them back)",
    )


def preparations(args: Namespace) -> tuple[Preparation, ...]:
    """What is to be prepared; raises ``ArgumentError``."""
    text = getattr(args, "prepare", None)
    words = [] if text is None else text.split(",")
    for word in words:
        if word not in set(Preparation):
            known = ", ".join(Preparation)
            raise ArgumentError(
                text=word, problem="is no preparation", advice=f"there are: {known}"
            )
    return tuple(dict.fromkeys(Preparation(word) for word in words))
