"""Records for the tests of the cells."""

from __future__ import annotations

from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    LinkState,
    NodeRecord,
    ParticipantRecord,
    RegionSetsRecord,
    RoomRecord,
    RouteEntry,
    RoutesRecord,
    TrackLayer,
    TrackRecord,
)


def node(number: int, region: str = "jakarta", started_at: int = 1) -> NodeRecord:
    return NodeRecord(
        node=number,
        region=region,
        url="ws://localhost:7880",
        mesh_addresses=["127.0.0.1:7990"],
        mesh_key=bytes(range(32)),
        started_at=started_at,
    )


def room(number: int, name: str = "shop", version: int = 1) -> RoomRecord:
    return RoomRecord(
        node=number, name=name, sid=f"RM_{name}", created_at=7, version=version, info=b"room"
    )


def participant(
    number: int, sid: str = "PA_1", room: str = "shop", info: bytes = b"i"
) -> ParticipantRecord:
    return ParticipantRecord(
        node=number,
        room=room,
        sid=sid,
        identity=f"id-{sid}",
        session=(5, number),
        info=info,
        tracks=[TrackRecord(sid="TR_1", kind="audio", layers=[TrackLayer(stream=1, quality=2)])],
    )


def links(number: int, rtt_ms: float = 20.0) -> LinksRecord:
    return LinksRecord(node=number, links=[LinkState(peer=9, up=True, rtt_ms=rtt_ms)])


def region_sets(number: int, *sets: list[str]) -> RegionSetsRecord:
    return RegionSetsRecord(node=number, sets=list(sets))


def routes(number: int, target: int, epoch: int = 1) -> RoutesRecord:
    return RoutesRecord(
        node=number,
        target=target,
        epoch=epoch,
        serial=1,
        routes=[RouteEntry(destination=9, via=[8], second=[7])],
    )


def controller(number: int, beat: int = 1) -> ControllerRecord:
    return ControllerRecord(node=number, epoch=1, active=True, beat=beat)
