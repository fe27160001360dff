"""What the program that fills zones sends, turned into a filling."""

from memhp.machines.lab.fill_zones import _filling
from memhp.model.allocations.filling import Filling, ZoneAtStart

ZONEINFO = """Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 3
  pages free     {dma}
        boost    0
        min      15
        low      18
        high     21
        spanned  4095
        managed  3840
        protection: (0, 635, 891, 1403, 1403)
  pagesets
    cpu: 0
              count: 0
              high:  7
Node 0, zone   Normal
  pages free     0
        min      0
        low      0
        high     0
        managed  0
        protection: (0, 0, 0, 0, 0)
Node 0, zone  Movable
  pages free     {movable}
        min      128
        low      263
        high     398
        managed  131072
        protection: (0, 0, 0, 0, 0)
"""


def chunk(name: str, text: str) -> bytes:
    data = text.encode()
    return f"{name} {len(data)}\n".encode() + data


def sent(*steps: tuple[int, int]) -> bytes:
    """A stream: what was free before and after each step; zoneinfo comes in pieces."""
    begin = ZONEINFO.format(dma=3808, movable=131045)
    parts = [chunk("begin", begin[:100]), chunk("begin", begin[100:])]
    for dma, movable in steps:
        text = ZONEINFO.format(dma=dma, movable=movable)
        parts += [chunk("step", text[:333]), chunk("step", text[333:]), chunk("next", "")]
    return b"".join([*parts, chunk("end", "")])


def test_a_stream_becomes_a_filling() -> None:
    zone = {"node": 0, "list_high": 0}
    assert _filling(sent((3808, 131000), (3000, 128)), "6.12", "256 256 32") == Filling(
        kernel="6.12",
        ratio="256 256 32",
        step_mib=4,
        zones=(
            ZoneAtStart(
                zone="DMA",
                managed=3840,
                free=3808,
                minimum=15,
                low=18,
                high=21,
                protection=(0, 635, 891, 1403, 1403),
                **zone | {"list_high": 7},
            ),
            ZoneAtStart(
                zone="Movable",
                managed=131072,
                free=131045,
                minimum=128,
                low=263,
                high=398,
                protection=(0, 0, 0, 0, 0),
                **zone,
            ),
        ),
        free=((3808, 131000), (3000, 128)),
    )


def test_zones_are_in_the_order_in_which_they_are_drawn_upon() -> None:
    filling = _filling(sent((3808, 1000), (3700, 128), (18, 128)), "6.12", "256 256 32")
    assert filling.order() == ("Movable", "DMA")
    assert filling.left() == {"DMA": 18, "Movable": 128}
