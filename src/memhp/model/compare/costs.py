"""The cost model's parameters: each with its unit and where it comes from."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from memhp.core.errors import ArgumentError

_FILE = "costs.toml"
_SHARES = ("share_walks", "share_slab", "share_struct_pages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its value, in which unit, and who measured it."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Costs:
    """All parameters, by name."""

    parameters: Mapping[str, Parameter]

    def __getitem__(self, name: str) -> float:
        return self.parameters[name].value

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters.values())

    def scaled(self, name: str, factor: float) -> "Costs":
        """The same with one parameter multiplied; shares of accesses stay below one together."""
        value = self[name] * factor
        if name in _SHARES:
            others = sum(self[other] for other in _SHARES if other != name)
            value = min(value, 1 - others)
        return self.with_value(name, value)

    def with_value(self, name: str, value: float) -> "Costs":
        """The same with one parameter set."""
        changed = replace(self.parameters[name], value=value)
        return Costs({**self.parameters, name: changed})


def shipped_costs() -> Costs:
    """The parameters as memhp has them."""
    text = resources.files(__package__).joinpath(_FILE).read_text("utf-8")
    return Costs(
        {
            name: Parameter(name=name, value=row["value"], unit=row["unit"], source=row["source"])
            for name, row in tomllib.loads(text).items()
        }
    )


def read_costs(file: Path | None, settings: Iterable[str] = ()) -> Costs:
    """The shipped parameters, with those of a file and those set by hand over them.

    Raises ``ArgumentError`` for what is no parameter or no number.
    """
    costs = shipped_costs()
    if file is not None:
        for name, row in _document(file).items():
            costs = _set(costs, name, row.get("value") if isinstance(row, dict) else row)
    for text in settings:
        name, _, value = text.partition("=")
        costs = _set(costs, name.strip(), value.strip())
    if sum(costs[name] for name in _SHARES) > 1:
        raise ArgumentError(
            text=", ".join(_SHARES),
            problem="are more than 1 together",
            advice="what is left of 1 is the share of user data",
        )
    return costs


def _document(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as err:
        raise ArgumentError(
            text=str(file), problem="cannot be read", advice=str(err.strerror)
        ) from err
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise ArgumentError(text=str(file), problem="is no TOML", advice=str(err)) from err


def _set(costs: Costs, name: str, given: object) -> Costs:
    if name not in costs.parameters:
        raise ArgumentError(
            text=name,
            problem="is no parameter of the cost model",
            advice=f"there are {', '.join(costs.parameters)}",
        )
    try:
        value = float(str(given))
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ArgumentError(
            text=f"{name}={given}",
            problem="is no amount",
            advice=f"give a number of {costs.parameters[name].unit}",
        )
    return costs.with_value(name, value)
