"""Core values as JSON and back: plans that are saved, journals, events for programs.

A dataclass becomes an object of its fields with its name under ``type``; an
enum its value; a tuple or set an array; a mapping an object. Reading back goes
by the types of the fields and accepts nothing else.
"""

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from memhp.core.errors import FormatError

T = TypeVar("T")
_TYPE = "type"


class ValueFormatError(FormatError):
    """JSON that is no value of the type it should be."""

    def __init__(self, *, wanted: str, found: str) -> None:
        super().__init__(wanted, found)
        self.wanted = wanted
        self.found = found

    def _sentence(self) -> str:
        return f"{self.found} is no {self.wanted}: the file is damaged or not memhp's"


def parse_json(text: str | bytes) -> Any:
    """Read JSON; raises ``ValueError``, for what is nested too deep as well."""
    try:
        return json.loads(text)
    except RecursionError as err:
        raise ValueError("it is nested too deep") from err


def to_json(value: Any) -> Any:
    """Turn a value into what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
        return {_TYPE: type(value).__name__} | named
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [to_json(item) for item in value]
    return value


def from_json(kind: Any, item: Any) -> Any:
    """Read a value of a type (a dataclass, or a union of some); raises ``ValueFormatError``."""
    if isinstance(kind, NewType):
        return from_json(kind.__supertype__, item)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return _one_of(arguments, item)
    if origin in {tuple, frozenset, Iterable, Sequence}:
        return _array(origin, arguments, item)
    if origin is not None and issubclass(origin, Mapping):
        return {
            key: from_json(arguments[1], inner)
            for key, inner in _checked(dict, item, "object").items()
        }
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, item)
    if is_dataclass(kind):
        return _object(kind, item)
    if kind is float and type(item) is int:
        return float(item)
    if type(item) is not kind:
        raise ValueFormatError(wanted=kind.__name__, found=_shown(item))
    return item


def _one_of(kinds: Sequence[Any], item: Any) -> Any:
    """The member of a union that an object names, or the only one that is no dataclass."""
    if item is None and type(None) in kinds:
        return None
    named: dict[str, Any] = {kind.__name__: kind for kind in kinds if is_dataclass(kind)}  # type: ignore[union-attr]
    if isinstance(item, dict) and named:
        name = item.get(_TYPE)
        kind = named.get(name) if isinstance(name, str) else None
        if kind is None:
            raise ValueFormatError(wanted=" or ".join(named), found=_shown(name))
        return from_json(kind, item)
    plain = [kind for kind in kinds if kind is not type(None) and not is_dataclass(kind)]
    if len(plain) != 1:
        raise ValueFormatError(wanted=" or ".join(named) or "value", found=_shown(item))
    return from_json(plain[0], item)


def _array(origin: Any, arguments: tuple[Any, ...], item: Any) -> Any:
    items = _checked(list, item, "array")
    make = frozenset if origin is frozenset else tuple
    return make(from_json(arguments[0], inner) for inner in items)


def _member(kind: type[Enum], item: Any) -> Enum:
    for member in kind:
        if member.value == item and type(item) is not bool:
            return member
    raise ValueFormatError(wanted=kind.__name__, found=_shown(item))


def _object(kind: Any, item: Any) -> Any:
    given = dict(_checked(dict, item, kind.__name__))
    name = given.pop(_TYPE, kind.__name__)
    each, needed = _fields_of(kind)
    if name != kind.__name__ or not needed <= given.keys() <= each.keys():
        raise ValueFormatError(wanted=kind.__name__, found=_shown(item))
    values = {field: from_json(each[field], inner) for field, inner in given.items()}
    try:
        return kind(**values)
    except ValueError as err:
        raise ValueFormatError(wanted=kind.__name__, found=str(err)) from err


@cache
def _fields_of(kind: Any) -> tuple[dict[str, Any], set[str]]:
    hints = get_type_hints(kind)
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    return {field.name: hints[field.name] for field in fields(kind)}, needed


def _checked(kind: type[T], item: Any, wanted: str) -> T:
    if not isinstance(item, kind):
        raise ValueFormatError(wanted=wanted, found=_shown(item))
    return item


def _shown(item: Any) -> str:
    try:
        text = repr(item)
    except RecursionError:
        return "what is nested so deep"
    return text if len(text) <= 60 else f"{text[:60]}…"
