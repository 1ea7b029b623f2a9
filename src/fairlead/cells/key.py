"""Records to keys and values of a cell's bucket, and back.

Names are hashed, since a key allows few characters and tells a stranger too much:
``node.<node>``, ``links.<node>``, ``regions.<node>``, ``controller.<node>``,
``routes.<target>.<node>``, ``room.<room key>.<node>``, ``participant.<room key>.<node>.<sid>``.
"""

from __future__ import annotations

import re

import msgspec

from fairlead.cells.change import AnyRecord
from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    NodeRecord,
    ParticipantRecord,
    RegionSetsRecord,
    RoomRecord,
    RoutesRecord,
    room_key,
)

MAX_VALUE = 1_000_000
"""Bytes of one record; NATS takes 1 MiB by default. A participant's limits stay well below."""
MAX_NODE = 65_535

_SID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[str, msgspec.msgpack.Decoder[AnyRecord]] = {
    "node": msgspec.msgpack.Decoder(NodeRecord),
    "links": msgspec.msgpack.Decoder(LinksRecord),
    "regions": msgspec.msgpack.Decoder(RegionSetsRecord),
    "routes": msgspec.msgpack.Decoder(RoutesRecord),
    "controller": msgspec.msgpack.Decoder(ControllerRecord),
    "room": msgspec.msgpack.Decoder(RoomRecord),
    "participant": msgspec.msgpack.Decoder(ParticipantRecord),
}


class Malformed(Exception):
    """A key or value that no node of ours writes."""


def key_of(record: AnyRecord) -> str:
    """Where a record stands. Raises ValueError if its sid can't be part of a key."""
    match record:
        case NodeRecord():
            return f"node.{record.node}"
        case LinksRecord():
            return f"links.{record.node}"
        case RegionSetsRecord():
            return f"regions.{record.node}"
        case RoutesRecord():
            return f"routes.{record.target}.{record.node}"
        case ControllerRecord():
            return f"controller.{record.node}"
        case RoomRecord():
            return f"room.{room_key(record.name).hex()}.{record.node}"
        case ParticipantRecord():
            if not _SID.fullmatch(record.sid):
                raise ValueError(f"the sid {record.sid!r} can't be part of a cell's key")
            return f"participant.{room_key(record.room).hex()}.{record.node}.{record.sid}"


def node_of(key: str) -> int:
    """The node that writes a key. Raises `Malformed`."""
    parts = key.split(".")
    position = 2 if parts[0] in ("room", "participant", "routes") else 1
    try:
        node = int(parts[position])
    except (IndexError, ValueError) as wrong:
        raise Malformed("a key without a node") from wrong
    if parts[0] not in _decoders or not 0 < node <= MAX_NODE:
        raise Malformed("a key of no known kind")
    return node


def writer_of(key: str) -> int | None:
    """The node that writes a key; None if no node of ours does."""
    try:
        return node_of(key)
    except Malformed:
        return None


def encode(record: AnyRecord) -> bytes:
    """A record as its value."""
    return _encoder.encode(record)


def decode(key: str, value: bytes) -> AnyRecord:
    """The record of an entry. Raises `Malformed`, also for one that stands at a wrong key."""
    decoder = _decoders.get(key.partition(".")[0])
    if decoder is None or len(value) > MAX_VALUE:
        raise Malformed("an entry of no known kind or size")
    try:
        record = decoder.decode(value)
        at = key_of(record)
    except (msgspec.DecodeError, ValueError) as wrong:
        raise Malformed("a value that can't be read") from wrong
    if at != key:
        raise Malformed("a record at another's key")
    return record
