"""On a model the census is exact: what explain says is what offline then does."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from memhp.core.evidence import Held
from memhp.core.geometry import BlockId, NodeId
from memhp.core.words import BlockState
from memhp.machines.model_evidence import model_evidence
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.mixed import mask_of
from memhp.model.pages.words import PageKind
from memhp.operations.predict_offline import Answer, Prediction, predict_all

TWO_NODES = """
kernel = "{kernel}"
command_line = "movable_node"
[[node]]
memory = "1G"
[[node]]
memory = "512M"
hotpluggable = true
"""
ONE_NODE = """
kernel = "{kernel}"
[[node]]
memory = "1G"
"""
KINDS = (
    PageKind.ANON,
    PageKind.FILE,
    PageKind.THP,
    PageKind.BALLOON,
    PageKind.SLAB,
    PageKind.SLAB_RECLAIMABLE,
    PageKind.PAGE_TABLE,
)


def explained(kernel: Kernel, number: int) -> Prediction:
    block = kernel.blocks.get(number)
    assert block is not None
    [prediction] = predict_all(model_evidence(kernel, [(BlockId(number), block)]))
    return prediction


def grow(pages: MachinePages, rng: Random, node: int) -> None:
    """Let somebody get memory of some kind, pinned now and then; or huge pages."""
    if rng.random() < 0.25:
        for _ in range(rng.randint(1, 8)):
            if rng.random() < 0.5:
                pages.hugetlb.add(pages, PageKind.HUGETLB, NodeId(node))
            else:
                pages.hugetlb.take(pages, PageKind.HUGETLB, NodeId(node), "huge")
        return
    kind = rng.choice(KINDS)
    order = 9 if kind is PageKind.THP else 0
    count = max(1, rng.randint(1, 60000) >> order)
    request = Request(gfp=mask_of(kind), node=NodeId(node), count=count, order=order)
    got = pages.allocate(request, kind, f"{kind.name.lower()}")
    if got is not None and kind is not PageKind.BALLOON:
        pages.holders.pin(got, pinned=rng.random() < 0.1)


@pytest.mark.parametrize("text", [ONE_NODE, TWO_NODES], ids=["one node", "two nodes"])
@settings(max_examples=40, deadline=None)
@given(kernel_name=st.sampled_from(["6.12", "6.1"]), rng=st.randoms(use_true_random=False))
def test_yes_goes_and_no_stays(text: str, kernel_name: str, rng: Random) -> None:
    kernel = booted(text.format(kernel=kernel_name))
    pages = open_pages(kernel)
    for _ in range(rng.randint(0, 6)):
        grow(pages, rng, rng.choice(sorted(kernel.online_nodes)))
    numbers = [
        number
        for number in kernel.blocks.numbers()
        if (block := kernel.blocks.get(number)) and block.state is BlockState.ONLINE
    ]
    for number in rng.sample(numbers, 3):
        said = explained(kernel, number)
        went = write(kernel, number, "offline") == ""
        assert said.answer is Answer.UNKNOWN or went == (said.answer is Answer.YES), said


def test_looking_changes_nothing_and_the_pages_add_up() -> None:
    kernel = booted(ONE_NODE.format(kernel="6.12"))
    pages = open_pages(kernel)
    grow(pages, Random(1), 0)
    before = pages.frames.state.tobytes()
    block = kernel.blocks.get(4)
    assert block is not None
    [seen] = model_evidence(kernel, [(BlockId(4), block)]).blocks
    assert pages.frames.state.tobytes() == before
    assert seen.kinds.get(Held.LRU, 0) <= sum(seen.kinds.values()) <= kernel.pages_per_block


def test_what_a_description_says_is_in_the_way() -> None:
    kernel = booted(
        ONE_NODE.format(kernel="6.12")
        + '[[failures.unmovable]]\nblocks = 3\nwhat = "a driver\'s buffer"\n'
    )
    said = explained(kernel, 3)
    assert (said.answer, [o.what for o in said.obstacles]) == (Answer.NO, ["a driver's buffer"])
    assert write(kernel, 3, "offline") == "EBUSY"
