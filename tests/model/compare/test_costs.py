"""The cost model's parameters: all with a source, and settable."""

from pathlib import Path

import pytest

from memhp.core.errors import ArgumentError
from memhp.model.compare.costs import read_costs, shipped_costs


def test_every_parameter_has_unit_and_source() -> None:
    for parameter in shipped_costs():
        assert parameter.unit
        assert len(parameter.source) > 20


def test_a_parameter_is_set_by_file_and_then_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "costs.toml"
    file.write_text("local_ns = 90\n[copy_page_ns]\nvalue = 250\n")
    costs = read_costs(file, ["local_ns=95"])
    assert (costs["local_ns"], costs["copy_page_ns"]) == (95, 250)
    assert costs["block_ns"] == shipped_costs()["block_ns"]


def test_scaling_a_share_leaves_no_less_than_nothing_to_the_others() -> None:
    costs = shipped_costs().with_value("share_walks", 0.8)
    shares = [costs.scaled("share_walks", 2)[f"share_{n}"] for n in ("walks", "slab")]
    assert sum(shares) <= 1
    assert costs.scaled("local_ns", 2)["local_ns"] == 2 * costs["local_ns"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nothing=1", "'nothing' is no parameter of the cost model"),
        ("local_ns", "'local_ns=' is no amount"),
        ("local_ns=-3", "'local_ns=-3' is no amount"),
        ("local_ns=nan", "'local_ns=nan' is no amount"),
        ("share_walks=0.95", "are more than 1 together"),
    ],
)
def test_what_is_no_setting_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        read_costs(None, [setting])


def test_what_is_no_file_of_parameters_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "costs.toml"
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_costs(file)
    file.write_text("= 3")
    with pytest.raises(ArgumentError, match="is no TOML"):
        read_costs(file)
