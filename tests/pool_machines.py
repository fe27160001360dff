"""Descriptions of model machines with pools of huge pages."""

HUGE_PAGES_GO_ROUND = """
[[node]]
memory = "512M"
[workload]
[[workload.step]]
process = "db"
grow = "hugetlb-2M"
size = "130M"
[[workload.step]]
process = "batch"
grow = "hugetlb-2M"
size = "4M"
[[workload.step]]
process = "batch"
exit = true
"""
"""Huge pages in use and free ones on the only node, between which they would go round for ever."""
