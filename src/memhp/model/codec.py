"""Values of the model as JSON and back, by the types of their fields.

A type's own annotations say how it is written, so that a new field of a zone
or a device is saved without a second list that somebody would forget. (cattrs
does the same, but takes 20 ms to import where this takes 5 with all types, and
every command would pay.) What comes out is readable: a dataclass is an object,
an enum its value, a set or tuple an array, a mapping an array of pairs, since
JSON's keys can only be text.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, NewType, Union, get_args, get_origin, get_type_hints

from memhp.model.iomem import Resource, ResourceTree
from memhp.model.runs import RangeSet, RunMap


class CodecError(ValueError):
    """JSON that is no value of the type it should be."""


class Codec(NamedTuple):
    """How values of one type become JSON, and JSON such values.

    ``encode`` trusts what it is given; ``decode`` raises ``CodecError``, or a
    plain error of Python's for JSON that is wrong in depth.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


@cache
def codec_of(kind: Any) -> Codec:
    """Build the codec of a type; raises ``TypeError`` for one that no state should hold."""
    if isinstance(kind, NewType):
        return codec_of(kind.__supertype__)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None:
        return _of_class(kind)
    if origin in {Union, types.UnionType}:
        return _optional(kind, [each for each in arguments if each is not type(None)])
    if origin is dict:
        return _mapping(codec_of(arguments[0]), codec_of(arguments[1]))
    if origin is RunMap:
        return _runs(RunMap, codec_of(arguments[0]))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _fixed([codec_of(argument) for argument in arguments])
    if origin in {tuple, list, set, frozenset}:
        return _sequence(origin, codec_of(arguments[0]))
    raise TypeError(f"no way to save {kind}")


def field_types(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name, in order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _of_class(kind: Any) -> Codec:
    if kind is int:
        return Codec(_encode_int, _decode_int)
    if kind in {str, bool}:
        return _plain(kind)
    if kind is RangeSet:
        return _runs(RangeSet, _plain(bool))
    if kind is ResourceTree:
        return _resources(codec_of(Resource))
    if issubclass(kind, Enum):
        return _enum(kind)
    if is_dataclass(kind):
        return _fields(kind)
    raise TypeError(f"no way to save {kind}")


def _encode_int(value: int) -> int | str:
    """The bits of a large memory block are a number too long for Python's decimal text."""
    return int(value) if value.bit_length() < 64 else hex(value)


def _decode_int(item: Any) -> int:
    if type(item) is int:
        return item
    if isinstance(item, str) and item.startswith("0x"):
        return int(item, 16)
    raise CodecError(f"{item!r} is no number")


def _plain(kind: type) -> Codec:
    def decode(item: Any) -> Any:
        if type(item) is not kind:
            raise CodecError(f"{item!r} is no {kind.__name__}")
        return item

    return Codec(lambda value: value, decode)


def _enum(kind: type[Enum]) -> Codec:
    members = {member.value: member for member in kind}

    def decode(item: Any) -> Enum:
        if type(item) not in {int, str} or item not in members:
            raise CodecError(f"{item!r} is no {kind.__name__}")
        return members[item]

    return Codec(lambda member: member.value, decode)


def _optional(kind: Any, others: list[Any]) -> Codec:
    """A value or ``None``; no other union is in the model's state."""
    if len(others) != 1:
        raise TypeError(f"no way to save {kind}")
    inner = codec_of(others[0])
    return Codec(
        lambda value: None if value is None else inner.encode(value),
        lambda item: None if item is None else inner.decode(item),
    )


def _sequence(origin: Callable[[Any], Any], inner: Codec) -> Codec:
    # A set has no order: sorted, the same set is always the same text.
    arrange = sorted if origin in {set, frozenset} else list
    return Codec(
        lambda values: arrange(inner.encode(value) for value in values),
        lambda items: origin(inner.decode(item) for item in _array(items)),
    )


def _fixed(each: list[Codec]) -> Codec:
    """A tuple with a type for each place."""
    return Codec(
        lambda values: [one.encode(value) for one, value in zip(each, values, strict=True)],
        lambda items: tuple(
            one.decode(item) for one, item in zip(each, _array(items), strict=True)
        ),
    )


def _mapping(key: Codec, value: Codec) -> Codec:
    """Pairs in the mapping's own order, which is a part of the state."""
    pair = _fixed([key, value])
    return Codec(
        lambda mapping: [pair.encode(item) for item in mapping.items()],
        lambda items: dict(pair.decode(item) for item in _array(items)),
    )


def _runs(make: Callable[[Any], RunMap[Any]], inner: Codec) -> Codec:
    """Each distinct value once; a run is its start, its end and the place of its value."""

    def encode(runs: RunMap[Any]) -> dict[str, Any]:
        places: dict[Any, int] = {}
        flat: list[int] = []
        for run in runs:
            flat += (run.start, run.end, places.setdefault(run.value, len(places)))
        return {"values": [inner.encode(value) for value in places], "runs": flat}

    def decode(item: Any) -> RunMap[Any]:
        values = [inner.decode(value) for value in _array(_object(item)["values"])]
        flat = _array(item["runs"])
        if min(flat, default=0) < 0:
            raise CodecError("a run is damaged")
        triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return make((start, end, values[place]) for start, end, place in triples)

    return Codec(encode, decode)


def _resources(inner: Codec) -> Codec:
    return Codec(
        lambda tree: [inner.encode(resource) for resource in tree],
        lambda items: ResourceTree(inner.decode(item) for item in _array(items)),
    )


def _fields(kind: Any) -> Codec:
    """A dataclass; a field that an older file does not have gets its default."""
    each = {name: codec_of(hint) for name, hint in field_types(kind).items()}
    needed = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }

    def decode(item: Any) -> Any:
        given = _object(item)
        if not needed <= given.keys() <= each.keys():
            raise CodecError(f"{kind.__name__} has other fields")
        return kind(**{name: each[name].decode(value) for name, value in given.items()})

    return Codec(
        lambda value: {name: one.encode(getattr(value, name)) for name, one in each.items()},
        decode,
    )


def _array(item: Any) -> list[Any]:
    if not isinstance(item, list):
        raise CodecError("an array is missing")
    return item


def _object(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise CodecError("an object is missing")
    return item
