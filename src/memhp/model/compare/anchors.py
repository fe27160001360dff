"""Published measurements that the comparison is held against."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memhp.core.geometry import NodeId
from memhp.model.compare.costs import Costs
from memhp.model.compare.facts import Access, Facts
from memhp.model.compare.figures import Latencies, access_shares, latency_ns

MITOSIS_MOST: Final = 1.34
"""Page tables on another node, data on the own one (Achermann et al., ASPLOS 2020)."""
CONTIGUITAS_SHARE: Final = 0.23
"""Servers of a fleet without one free 2 MiB range (Zhao et al., ISCA 2023)."""
_CONTIGUITAS_BAND: Final = (CONTIGUITAS_SHARE / 2, CONTIGUITAS_SHARE * 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What was published, what the model gives, and whether that is within it."""

    name: str
    published: str
    value: float
    calibrated: bool

    @property
    def verdict(self) -> str:
        return "within" if self.calibrated else "uncalibrated"


def remote_walks(costs: Costs, latencies: Latencies | None = None) -> Anchor:
    """How much slower accesses are with page tables on the other node and data on the own one."""
    share = access_shares(costs)[Access.WALKS]
    near, far = _near_and_far(costs, latencies)
    slowdown = (1 - share) + share * far / near
    return Anchor(
        name="page tables remote, data local",
        published=f"up to {MITOSIS_MOST:.2f} times (Mitosis, ASPLOS 2020)",
        value=slowdown,
        calibrated=1 < slowdown <= MITOSIS_MOST,
    )


def without_2mib_range(runs: Iterable[Facts]) -> Anchor:
    """The share of runs of the unrestricted machine that have no free 2 MiB range."""
    found = [facts.free_2mib_ranges == 0 for facts in runs]
    share = sum(found) / len(found) if found else 0.0
    low, high = _CONTIGUITAS_BAND
    return Anchor(
        name="machines without one free 2 MiB range",
        published=f"{CONTIGUITAS_SHARE:.0%} of a fleet (Contiguitas, ISCA 2023)",
        value=share,
        calibrated=low <= share <= high,
    )


def _near_and_far(costs: Costs, latencies: Latencies | None) -> tuple[float, float]:
    """Latency on the own node and the mean of the others, as the machine has them."""
    node, other = NodeId(0), NodeId(1)
    near = latency_ns((node, node), costs, latencies)
    far = [ns for (user, home), ns in (latencies or {}).items() if user == node and home != node]
    return near, sum(far) / len(far) if far else latency_ns((node, other), costs)
