"""The records of a small network: a room on two edges, one on another, with people in them."""

from __future__ import annotations

import time

from livekit.protocol.models import ParticipantInfo, ParticipantPermission, Room

from fairlead.policy.regions import RoomRule
from fairlead.types import NodeRecord, ParticipantRecord, RoomRecord

HERE, FAR, FARTHER = 1, 2, 3
REGIONS = {HERE: "jakarta", FAR: "singapore", FARTHER: "frankfurt"}
RULES = (RoomRule(match="kyc-*", regions=frozenset({"singapore", "frankfurt"})),)
NOW = time.time()
"""When the tests began; the tokens of `livekit-api` are made later, by its own clock."""


def place(node: int) -> NodeRecord:
    return NodeRecord(
        node=node,
        region=REGIONS[node],
        url="ws://localhost",
        mesh_addresses=[],
        mesh_key=b"",
        started_at=1,
    )


def room(
    node: int, name: str, created_at: int, version: int, metadata: str, *regions: str
) -> RoomRecord:
    return RoomRecord(
        node=node,
        name=name,
        sid=f"RM_{created_at}",
        created_at=created_at,
        version=version,
        info=Room(name=name, metadata=metadata, empty_timeout=300).SerializeToString(),
        regions=sorted(regions),
    )


def person(
    node: int, room: str, identity: str, joined: int, info: ParticipantInfo | None = None
) -> ParticipantRecord:
    described = ParticipantInfo(identity=identity, sid=f"PA_{identity}_{joined}")
    if info is not None:
        described.MergeFrom(info)
    return ParticipantRecord(
        node=node,
        room=room,
        sid=described.sid,
        identity=identity,
        session=(joined, node),
        info=described.SerializeToString(),
        tracks=[],
    )


RECORDS: list[NodeRecord | RoomRecord | ParticipantRecord] = [
    place(FAR),
    place(FARTHER),
    room(HERE, "shop", created_at=2_000, version=1, metadata="old"),
    room(FAR, "shop", created_at=1_000, version=2, metadata="new"),
    room(FARTHER, "class", created_at=3_000, version=1, metadata=""),
    person(HERE, "shop", "shopper", 10, ParticipantInfo(is_publisher=True)),
    person(FAR, "shop", "guide", 5, ParticipantInfo(metadata="far")),
    person(HERE, "shop", "twice", 20),
    person(FAR, "shop", "twice", 30, ParticipantInfo(metadata="the newer session")),
    person(FAR, "shop", "robot", 40, ParticipantInfo(kind=ParticipantInfo.AGENT)),
    person(
        FARTHER,
        "class",
        "camera",
        50,
        ParticipantInfo(permission=ParticipantPermission(recorder=True)),
    ),
]
