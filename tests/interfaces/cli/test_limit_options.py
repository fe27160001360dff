"""What a person says about limits, and what holds where nothing is said."""

from argparse import ArgumentParser

import pytest

from memhp.core.limits import Limits
from memhp.interfaces.cli.carry_out import add_change_options
from memhp.interfaces.cli.limit_options import limits_of


@pytest.mark.parametrize(
    ("words", "blocks", "limits"),
    [
        ("", True, Limits(stall_share=1 / 8)),
        ("--at-least 1G", True, Limits(stall_share=1 / 8)),
        ("--all-or-nothing", True, Limits()),
        ("", False, Limits()),
        ("--stall 30s", True, Limits(stall_seconds=30)),
        ("--stall off --brake off", True, Limits(stall_seconds=None, pressure_percent=None)),
    ],
)
def test_limits(words: str, blocks: bool, limits: Limits) -> None:
    parser = ArgumentParser()
    add_change_options(parser, blocks=blocks)
    assert limits_of(parser.parse_args(words.split())) == limits
