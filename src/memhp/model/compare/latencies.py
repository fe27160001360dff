"""Latencies between nodes from a machine's HMAT; never from its SLIT, whose ratios are no times."""

from typing import Final

from memhp.core.acpi.hmat import Hmat, LatencyBandwidth
from memhp.core.geometry import NodeId
from memhp.model.compare.figures import Latencies

_ACCESS, _READ = 0, 1
_BY_CHOICE: Final = (_ACCESS, _READ)


def latencies_of(hmat: Hmat) -> dict[tuple[NodeId, NodeId], float]:
    """Nanoseconds by (node of the processor, node of the memory); empty where it has none.

    The matrix of access latency, else that of reads. Proximity domains equal
    nodes, as they do on a modelled machine.
    """
    matrices = [entry for entry in hmat.entries if isinstance(entry, LatencyBandwidth)]
    for wanted in _BY_CHOICE:
        for matrix in matrices:
            if matrix.data_type == wanted:
                return _read(matrix, hmat.header.revision)
    return {}


def are_complete(latencies: Latencies, nodes: tuple[NodeId, ...]) -> bool:
    """Whether every pair of nodes has a latency."""
    return all((one, other) in latencies for one in nodes for other in nodes)


def _read(matrix: LatencyBandwidth, revision: int) -> dict[tuple[NodeId, NodeId], float]:
    found = {}
    for initiator in matrix.initiators:
        for target in matrix.targets:
            ns = matrix.value(initiator, target, revision=revision)
            if ns is not None:
                found[NodeId(initiator), NodeId(target)] = float(ns)
    return found
