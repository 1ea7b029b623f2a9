"""The messages between Python and its node, held against their Rust twins by sample.

``FAIRLEAD_UPDATE=1`` writes the commands' samples anew; ``crates/node/tests/twins.rs`` reads them.
"""

from __future__ import annotations

import os
import struct
import typing
from pathlib import Path

import msgspec
import pytest

from fairlead.protocol import node

DATA = Path(__file__).parents[2] / "data"
ROOM = bytes(range(16))

COMMANDS: list[node.Command] = [
    node.AddParticipant(participant=1, room=ROOM, sid="PA_1", identity="ann"),
    node.UpdateParticipant(participant=1, can_publish_data=False),
    node.RemoveParticipant(participant=1),
    node.AcceptOffer(participant=1, transport="publisher", offer_id=1, sdp="v=0"),
    node.CreateOffer(
        participant=1,
        offer_id=1,
        sections=[node.Section(mid=None, kind="audio", active=True)],
    ),
    node.AcceptAnswer(participant=1, offer_id=1, sdp="v=0"),
    node.AddCandidate(participant=1, transport="subscriber", candidate="candidate:1"),
    node.AddTrack(
        track="TR_a",
        room=ROOM,
        kind="video",
        layers=[node.Layer(stream=(1 << 48) | 7, rid="q", quality=0)],
        publisher=None,
    ),
    node.RemoveTrack(track="TR_a"),
    node.Publish(participant=1, mid="0", track="TR_a"),
    node.SetMuted(track="TR_a", muted=True),
    node.Subscribe(participant=1, transport="publisher", mid="0", track="TR_a"),
    node.Unsubscribe(participant=1, track="TR_a"),
    node.SetQuality(participant=1, track="TR_a", quality=None, fps=7),
    node.ResumeParticipant(participant=1),
    node.AdoptConnection(participant=1, channels=[0, 2, 4], here_s=7.5),
    node.ReplayData(participant=1, had=[node.Had(publisher="PA_2", sequence=2**32 - 1)]),
    node.SendData(room=ROOM, packet=b"\x12\x00", reliable=True),
    node.Restrict(participant=1, kbps=300, tcp_only=True),
    node.MoveParticipant(participant=1, room=ROOM, sid="PA_2"),
    node.Call(participant=1, call="call-1", packet=b"\x52\x00"),
    node.SetRoomNodes(room=ROOM, nodes=[2, 3]),
    node.SetScene(room=ROOM, audio_top=3, unranked=["TR_a"], playout_ms=(0, 400)),
    node.AddPeer(node=2, public_key=bytes(32), addresses=["127.0.0.1:7000"]),
    node.RemovePeer(node=2),
    node.SetRoutes(
        routes=[
            node.Route(destination=2, via=[3]),
            node.Route(destination=2, via=[], second=[3, 4], tag=7),
        ]
    ),
    node.SetPolicies(policies=[node.Policy(tag=7, nodes=[1, 2])]),
    node.SetProtection(share=0.5, kbps=20_000),
    node.SetLink(node=2, capacity_kbps=100_000),
    node.SetEmulation(node=2, delay_ms=80, loss=0.05, rate_kbps=2000),
    node.HoldData(participant=1, seconds=5.0),
    node.HandOver(participant=1),
    node.AddDataTrack(track="DTR_a", stream=(1 << 48) | 7, publisher=1, handle=2**16 - 1, tag=7),
    node.SubscribeData(participant=1, track="DTR_a", handle=1),
    node.ExpectSource(participant=1, stream=(1 << 48) | 7, ssrc=2**32 - 1, rtx=None),
]


def framed(messages: list[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(m)) + m for m in messages)


def unframed(data: bytes) -> list[bytes]:
    messages = []
    while data:
        (size,) = struct.unpack_from(">I", data)
        messages.append(data[4 : 4 + size])
        data = data[4 + size :]
    return messages


def test_one_sample_of_each_command() -> None:
    assert {type(c) for c in COMMANDS} == set(typing.get_args(node.Command))


def test_commands_are_what_rust_reads() -> None:
    data = framed([node.encode(c) for c in COMMANDS])
    path = DATA / "node_commands.msgpack"
    if os.environ.get("FAIRLEAD_UPDATE"):
        path.write_bytes(data)
    assert path.read_bytes() == data, "FAIRLEAD_UPDATE=1 writes them anew"


def test_events_are_what_rust_writes() -> None:
    events = [node.decode(m) for m in unframed((DATA / "node_events.msgpack").read_bytes())]
    assert {type(e) for e in events} == set(typing.get_args(node.Event))
    report = next(e for e in events if isinstance(e, node.LinkReport))
    assert report.links[0].rtt_ms == 161.5


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa4type\xa1X", b"\x80"])
def test_an_unknown_event_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        node.decode(data)
