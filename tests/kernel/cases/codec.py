"""Cases and outcomes as JSON and back, by the types of their dataclasses.

Bytes become hex, enums their value; a step is told from another by the key "do". What equals its
default is left out, so that a case typed by hand and a case printed look the same.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
TAG = "do"


class BadJson(ValueError):
    """The JSON does not describe such a value."""


def encode(value: Any) -> Any:
    """Return what json.dumps takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: encode(content)
            for field in dataclasses.fields(value)
            if (content := getattr(value, field.name)) != _default(field)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_tagged(item) for item in value]
    return value


def decode(kind: type[T], value: Any) -> T:
    """Return the `kind` that the JSON describes, or raise BadJson saying where it does not."""
    try:
        result: T = _decode(kind, value)
    except (TypeError, ValueError, KeyError) as error:
        raise BadJson(f"not a {kind.__name__}: {error}") from error
    return result


def _tagged(item: Any) -> Any:
    encoded = encode(item)
    if type(item).__name__ in ("Send", "Wait", "Command"):
        return {TAG: type(item).__name__.lower(), **encoded}
    return encoded


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(_decode(typing.get_args(kind)[0], item) for item in value)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(typing.get_args(kind), value)
    if origin is not None or kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value)
    if kind is bytes:
        return bytes.fromhex(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return kind(value)


def _decode_union(kinds: tuple[Any, ...], value: Any) -> Any:
    """An optional value, or the dataclass that the tag names."""
    if type(None) in kinds:
        return None if value is None else _decode(kinds[0], value)
    named = {kind.__name__.lower(): kind for kind in kinds}
    rest = dict(value)
    if rest.get(TAG) not in named:
        raise ValueError(f"{TAG!r} is {rest.get(TAG)!r}, not one of {', '.join(named)}")
    return _decode(named[rest.pop(TAG)], rest)


def _decode_dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    hints = _hints(kind)
    if unknown := set(value) - set(hints):
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: _decode(hints[name], item) for name, item in value.items()})
