"""Values of the model as JSON and back, by the types of their fields.

A type's own annotations say how it is written, so that a new field of a zone
or a device is saved without a second list that somebody would forget. (A
library such as cattrs does the same for eight times the time of importing
this, which every command would pay.) What comes out is readable: a dataclass
is an object, an enum its value, a set or tuple an array, a mapping an array of
pairs, since JSON's keys can only be text.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from memhp.model.iomem import Resource, ResourceTree
from memhp.model.runs import RangeSet, RunMap

Convert = Callable[[Any], Any]

_PLAIN = (str, bool, type(None))
_SEQUENCES = (tuple, list, set, frozenset)


class CodecError(ValueError):
    """JSON that is no value of the type it should be."""


@cache
def encoder(kind: Any) -> Convert:
    """Build what turns a value of a type into JSON. Annotations are trusted."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, NewType):
        return encoder(kind.__supertype__)
    if kind is int:
        return _encode_int
    if kind in _PLAIN:
        return _same
    if _is_union(origin):
        return _encode_optional(encoder(_one_of(kind)))
    if origin in _SEQUENCES:
        return _encode_sequence(origin, arguments)
    if origin is dict:
        return _encode_mapping(encoder(arguments[0]), encoder(arguments[1]))
    if kind is RangeSet or origin is RunMap:
        return _encode_runs(encoder(bool if kind is RangeSet else arguments[0]))
    if kind is ResourceTree:
        each = encoder(Resource)
        return lambda tree: [each(resource) for resource in tree]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda member: member.value
    if isinstance(kind, type) and is_dataclass(kind):
        return _encode_fields(kind)
    raise TypeError(f"no way to save {kind}")


@cache
def decoder(kind: Any) -> Convert:
    """Build what turns JSON into a value of a type; it raises ``CodecError``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, NewType):
        return decoder(kind.__supertype__)
    if kind is int:
        return _decode_int
    if kind in _PLAIN:
        return _decode_plain(kind)
    if _is_union(origin):
        return _decode_optional(decoder(_one_of(kind)))
    if origin in _SEQUENCES:
        return _decode_sequence(origin, arguments)
    if origin is dict:
        return _decode_mapping(decoder(arguments[0]), decoder(arguments[1]))
    if kind is RangeSet or origin is RunMap:
        make = RangeSet if kind is RangeSet else RunMap
        return _decode_runs(make, decoder(bool if kind is RangeSet else arguments[0]))
    if kind is ResourceTree:
        each = decoder(Resource)
        return lambda items: ResourceTree(each(item) for item in _array(items))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _decode_enum(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_fields(kind)
    raise TypeError(f"no way to load {kind}")


def field_types(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name, in order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _same(value: Any) -> Any:
    return value


def _encode_int(value: int) -> int | str:
    """Bits of a large memory block are a number too long for Python's decimal text."""
    return int(value) if value.bit_length() < 64 else hex(value)


def _decode_int(item: Any) -> int:
    if type(item) is int:
        return item
    if isinstance(item, str) and item.startswith("0x"):
        return int(item, 16)
    raise CodecError(f"{item!r} is no number")


def _is_union(origin: Any) -> bool:
    return origin is Union or origin is types.UnionType


def _one_of(kind: Any) -> Any:
    """The type beside ``None``; no other union is in the model's state."""
    others = [each for each in get_args(kind) if each is not type(None)]
    if len(others) != 1:
        raise TypeError(f"no way to save {kind}")
    return others[0]


def _encode_optional(inner: Convert) -> Convert:
    return lambda value: None if value is None else inner(value)


def _decode_optional(inner: Convert) -> Convert:
    return lambda item: None if item is None else inner(item)


def _encode_sequence(origin: Any, arguments: tuple[Any, ...]) -> Convert:
    if origin is tuple and arguments[-1] is not Ellipsis:
        each = [encoder(argument) for argument in arguments]
        return lambda value: [one(part) for one, part in zip(each, value, strict=True)]
    inner = encoder(arguments[0])
    if origin in {set, frozenset}:
        # Sorted, so that the same set is always the same text.
        return lambda value: sorted(inner(part) for part in value)
    return lambda value: [inner(part) for part in value]


def _decode_sequence(origin: Any, arguments: tuple[Any, ...]) -> Convert:
    if origin is tuple and arguments[-1] is not Ellipsis:
        each = [decoder(argument) for argument in arguments]
        return lambda items: tuple(
            one(item) for one, item in zip(each, _array(items, len(each)), strict=True)
        )
    inner = decoder(arguments[0])
    return lambda items: origin(inner(item) for item in _array(items))


def _encode_mapping(key: Convert, value: Convert) -> Convert:
    return lambda mapping: [[key(k), value(v)] for k, v in mapping.items()]


def _decode_mapping(key: Convert, value: Convert) -> Convert:
    return lambda items: {
        key(pair[0]): value(pair[1]) for pair in (_array(item, 2) for item in _array(items))
    }


def _encode_runs(inner: Convert) -> Convert:
    """Each distinct value once; a run is its start, its end and the number of its value."""

    def encode(runs: RunMap[Any]) -> dict[str, Any]:
        numbers: dict[Any, int] = {}
        flat: list[int] = []
        for run in runs:
            flat += (run.start, run.end, numbers.setdefault(run.value, len(numbers)))
        return {"values": [inner(value) for value in numbers], "runs": flat}

    return encode


def _decode_runs(make: Callable[[Any], RunMap[Any]], inner: Convert) -> Convert:
    def decode(item: Any) -> RunMap[Any]:
        values = [inner(value) for value in _array(_object(item)["values"])]
        flat = _array(item["runs"])
        if min(flat, default=0) < 0:
            raise CodecError("a run is damaged")
        triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return make((start, end, values[number]) for start, end, number in triples)

    return decode


def _encode_fields(kind: type) -> Convert:
    each = {name: encoder(hint) for name, hint in field_types(kind).items()}
    return lambda value: {name: one(getattr(value, name)) for name, one in each.items()}


def _decode_fields(kind: type) -> Convert:
    """A field that an older file does not have gets its default."""
    each = {name: decoder(hint) for name, hint in field_types(kind).items()}
    needed = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }

    def decode(item: Any) -> Any:
        given = _object(item)
        if not needed <= given.keys() <= each.keys():
            raise CodecError(f"{kind.__name__} has other fields")
        return kind(**{name: each[name](value) for name, value in given.items()})

    return decode


def _decode_plain(kind: Any) -> Convert:
    def decode(item: Any) -> Any:
        if type(item) is not kind:
            raise CodecError(f"{item!r} is no {kind.__name__}")
        return item

    return decode


def _decode_enum(kind: type[Enum]) -> Convert:
    members = {member.value: member for member in kind}

    def decode(item: Any) -> Enum:
        if type(item) not in {int, str} or item not in members:
            raise CodecError(f"{item!r} is no {kind.__name__}")
        return members[item]

    return decode


def _array(item: Any, length: int | None = None) -> list[Any]:
    if not isinstance(item, list) or length not in {None, len(item)}:
        raise CodecError("an array is missing or has another length")
    return item


def _object(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise CodecError("an object is missing")
    return item
