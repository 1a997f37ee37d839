"""As much of Thrift's compact protocol as a Parquet footer needs, written.

Source: thrift/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Sequence

Value = int | str | list["Value"] | dict[int, "Value"]


class I32(int):
    """A number of 32 bits; plain ones have 64. On the wire they differ in their type alone."""


_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_LONG_LIST = 15


def struct(fields: dict[int, Value]) -> bytes:
    """Return a struct: its fields by their ids, in rising order."""
    parts, last = [], 0
    for number, value in fields.items():
        parts.append(bytes(((number - last) << 4 | _type(value),)))
        parts.append(encoded(value))
        last = number
    return b"".join(parts) + b"\0"


def encoded(value: Value) -> bytes:
    """Return a value without its type."""
    if isinstance(value, int):
        return _varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, str):
        text = value.encode()
        return _varint(len(text)) + text
    if isinstance(value, dict):
        return struct(value)
    return _list(value)


def _list(values: Sequence[Value]) -> bytes:
    kind = _type(values[0]) if values else _I32
    count = len(values)
    head = bytes((count << 4 | kind,)) if count < _LONG_LIST else bytes((_LONG_LIST << 4 | kind,)) + _varint(count)
    return head + b"".join(map(encoded, values))


def _type(value: Value) -> int:
    if isinstance(value, I32):
        return _I32
    if isinstance(value, int):
        return _I64
    if isinstance(value, str):
        return _BINARY
    return _STRUCT if isinstance(value, dict) else _LIST


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
