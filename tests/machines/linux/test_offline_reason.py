"""What the kernel's log says about an offline that failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.outcome import Done, Refused
from memhp.core.ranges import PhysRange
from memhp.core.reasons import OFFLINE_REASONS, meaning_of
from memhp.machines.linux.offline_reason import Heard, PageDump, hear, with_reason

BLOCK = PhysRange(start=0x30000000, end=0x38000000)
RESERVED = """\
page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x32200
flags: 0xfffffc0002000(reserved|node=0|zone=1|lastcpupid=0x1fffff)
raw: 000fffffc0002000 ffbec163c0c88008 ffbec163c0c88008 0000000000000000
page dumped because: unmovable page
memory offlining [mem 0x30000000-0x37ffffff] failed due to failure to isolate range"""
OLDER_SLAB = """\
page:0000000012345678 refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x30010
flags: 0xfffffc0000200(slab|node=0|zone=1|lastcpupid=0x1fffff)
page dumped because: unmovable page"""
NEWER_SLAB = """\
page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x30010
flags: 0xfffffc0000000(node=0|zone=1|lastcpupid=0x1fffff)
page_type: f5(slab)
page dumped because: unmovable page"""
PINNED = """\
migrating pfn 30400 failed ret:64
page: refcount:1025 mapcount:1 mapping:00000000abcdef01 index:0x7f2 pfn:0x30400
memcg:ff1100
anon flags: 0xfffffc0020828(uptodate|lru|owner_2|swapbacked|node=0|zone=3|lastcpupid=0x1fffff)
raw: 000fffffc0020828
page dumped because: migration failure
memory offlining [mem 0x30000000-0x37ffffff] failed due to signal backoff"""
FILE = """\
page: refcount:5 mapcount:0 mapping:00000000aa index:0x0 pfn:0x30500
aops:shmem_aops ino:1f dentry name(?):"data"
flags: 0x20000000004003d(locked|uptodate|dirty|lru|node=0|zone=1)
page dumped because: migration failure"""


def told(text: str, errno_name: str = "EBUSY", problem: str | None = None) -> str:
    refused = Refused(reason="as before", errno_name=errno_name)
    outcome = with_reason(refused, text.splitlines(), BLOCK, problem)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == errno_name
    return outcome.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            RESERVED,
            "failure to isolate range: page frame 0x32200 at 0x32200000 is reserved by the kernel "
            "or firmware",
        ),
        (
            OLDER_SLAB,
            "failure to isolate range: page frame 0x30010 at 0x30010000 is kernel objects (slab)",
        ),
        (
            NEWER_SLAB,
            "failure to isolate range: page frame 0x30010 at 0x30010000 is kernel objects (slab)",
        ),
        (
            PINNED,
            "signal backoff: page frame 0x30400 at 0x30400000 is memory of a process, and would "
            "not move: 1025 references, mapped 1 time",
        ),
        (
            FILE,
            "as before: page frame 0x30500 at 0x30500000 is page cache of "
            'file "data" (inode 31), and would not move: 5 references, mapped 0 times',
        ),
    ],
    ids=["reserved", "slab 6.1", "slab 6.12", "pinned", "file"],
)
def test_the_page_in_the_way_is_named(text: str, words: str) -> None:
    assert told(text) == words


def test_a_person_reads_the_term_what_it_means_and_the_page() -> None:
    refused = Refused(reason=told(RESERVED), errno_name="EBUSY")
    assert refused.words == (
        "failure to isolate range [EBUSY]: it holds pages that cannot be moved elsewhere "
        "(page frame 0x32200 at 0x32200000 is reserved by the kernel or firmware)"
    )


@pytest.mark.parametrize("reason", sorted(OFFLINE_REASONS))
def test_every_reason_is_known_and_explained(reason: str) -> None:
    line = f"memory offlining [mem 0x30000000-0x37ffffff] failed due to {reason}"
    assert told(line) == reason
    assert meaning_of(reason) is not None


def test_what_is_said_of_other_blocks_is_no_reason() -> None:
    other = PhysRange(start=0x38000000, end=0x40000000)
    assert hear(RESERVED.splitlines(), other) == Heard(reason=None)


def test_what_is_between_dumps_of_others_belongs_to_nobody() -> None:
    lines = ["flags: 0x1(slab)", "page dumped because: unmovable page", *RESERVED.splitlines()]
    assert hear(lines, BLOCK) == Heard(
        reason="failure to isolate range",
        dumps=(
            PageDump(
                pfn=0x32200,
                references=1,
                mapped=0,
                because="unmovable page",
                flags=frozenset({"reserved", "node=0", "zone=1", "lastcpupid=0x1fffff"}),
            ),
        ),
    )


def test_that_nothing_could_be_heard_is_said() -> None:
    assert told("", problem="the kernel has no dynamic debug") == (
        "as before (the kernel's own reason: not available: the kernel has no dynamic debug)"
    )
    # EINVAL tells by itself, and silence where all could be heard is no news.
    assert told("", errno_name="EINVAL", problem="nothing") == "as before"
    assert told("") == "as before"


def test_what_went_well_stays_as_it_is() -> None:
    assert with_reason(Done(note="in Normal"), RESERVED.splitlines(), BLOCK, None) == Done(
        note="in Normal"
    )


@given(st.lists(st.sampled_from([*RESERVED.splitlines(), *PINNED.splitlines(), "", "page: x"])))
def test_lines_in_any_order_are_no_fault_and_name_pages_of_the_block_alone(
    lines: list[str],
) -> None:
    heard = hear(lines, BLOCK)
    assert all(dump.pfn * 4096 in BLOCK for dump in heard.dumps)
    assert heard.reason in {None, *OFFLINE_REASONS}
