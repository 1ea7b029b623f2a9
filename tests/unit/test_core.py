import importlib.util
import os
import select
from collections.abc import Iterator

import pytest

from fairlead.protocol import node as messages

if importlib.util.find_spec("fairlead._core") is None:
    pytest.skip("the packet path is not built", allow_module_level=True)
from fairlead import core

pytestmark = pytest.mark.native


def start(**fields: object) -> core.Node:
    return core.Node(messages.encode(messages.NodeConfig(node=1, **fields)))


@pytest.fixture
def node() -> Iterator[core.Node]:
    node = start(workers=2)
    yield node
    node.close()


def test_ports_are_chosen_and_a_key_is_made(node: core.Node) -> None:
    assert all((node.udp_port, node.tcp_port, *node.mesh_ports))
    assert len(node.mesh_ports) == 4
    other = start()
    assert len(node.public_key) == 32
    assert node.public_key != other.public_key
    other.close()


def test_a_given_key_gives_the_same_public_key() -> None:
    first, second = start(private_key=b"k" * 32), start(private_key=b"k" * 32)
    assert first.public_key == second.public_key
    first.close()
    second.close()


def test_counters_come_and_the_descriptor_tells(node: core.Node) -> None:
    counts = None
    while counts is None:
        readable, _, _ = select.select([node], [], [], 30)
        assert readable, "the node says nothing for 30 s"
        for event in map(messages.decode, node.drain()):
            if isinstance(event, messages.Counters):
                counts = event.counts
    assert counts["io_udp_received"] == 0


def test_every_command_of_the_protocol_is_read(node: core.Node) -> None:
    room = b"r" * 16
    layer = messages.Layer(stream=1 << 48, rid=None, quality=2)
    section = messages.Section(mid=None, kind="audio", active=True)
    commands = [
        messages.AddParticipant(participant=1, room=room, sid="PA_1", identity="a"),
        messages.UpdateParticipant(participant=1, can_publish_data=False),
        messages.AcceptOffer(participant=1, transport="publisher", offer_id=1, sdp="v=0"),
        messages.CreateOffer(participant=1, offer_id=1, sections=[section]),
        messages.AcceptAnswer(participant=1, offer_id=1, sdp="v=0"),
        messages.AddCandidate(participant=1, transport="publisher", candidate="candidate:x"),
        messages.AddTrack(track="TR_1", room=room, kind="audio", layers=[layer], publisher=1),
        messages.Publish(participant=1, mid="0", track="TR_1"),
        messages.SetMuted(track="TR_1", muted=True),
        messages.Subscribe(participant=1, transport="publisher", mid="1", track="TR_1"),
        messages.SetQuality(participant=1, track="TR_1", quality=None),
        messages.Unsubscribe(participant=1, track="TR_1"),
        messages.AddDataTrack(track="DTR_1", stream=1 << 48 | 1, publisher=1, handle=5),
        messages.SubscribeData(participant=1, track="DTR_1", handle=1),
        messages.ExpectSource(participant=1, stream=1 << 48 | 1, ssrc=7, rtx=8),
        messages.SendData(room=room, packet=b"x", reliable=True),
        messages.SetRoomNodes(room=room, nodes=[2]),
        messages.AddPeer(node=2, public_key=b"k" * 32, addresses=["127.0.0.1:9"]),
        messages.SetRoutes(routes=[messages.Route(destination=3, via=[2], second=[], tag=7)]),
        messages.SetPolicies(policies=[messages.Policy(tag=7, nodes=[1, 2])]),
        messages.SetProtection(share=0.5),
        messages.SetLink(node=2, capacity_kbps=10_000),
        messages.SetEmulation(node=2, delay_ms=20.0, loss=0.01, rate_kbps=1000),
        messages.SetScene(room=room, audio_top=3, unranked=["TR_1"], playout_ms=(0, 400)),
        messages.Restrict(participant=1, kbps=300, tcp_only=True),
        messages.Call(participant=1, call="call-1", packet=b"\x52\x00"),
        messages.ResumeParticipant(participant=1),
        messages.ReplayData(participant=1, had=[messages.Had(publisher="PA_2", sequence=7)]),
        messages.AdoptConnection(participant=1, channels=[0, 2, 4], here_s=1.5),
        messages.HoldData(participant=1, seconds=5.0),
        messages.HandOver(participant=1),
        messages.MoveParticipant(participant=1, room=b"s" * 16, sid="PA_2"),
        messages.RemovePeer(node=2),
        messages.RemoveTrack(track="TR_1"),
        messages.RemoveParticipant(participant=1),
    ]
    assert {type(command) for command in commands} == set(messages.Command.__args__)
    for command in commands:
        node.handle(messages.encode(command))


@pytest.mark.parametrize("handle", [0, 2**16])
def test_a_handle_that_no_packet_can_have_is_refused(node: core.Node, handle: int) -> None:
    with pytest.raises(ValueError, match=r"handle|can't be read"):
        node.handle(
            messages.encode(messages.SubscribeData(participant=1, track="DTR_1", handle=handle))
        )


@pytest.mark.parametrize("command", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa3Fly"])
def test_what_is_no_command_is_refused(node: core.Node, command: bytes) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        node.handle(command)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"bind": "here"}, '"here"'),
        ({"private_key": b"short"}, "5 bytes"),
        ({"bind": "0.0.0.0", "addresses": []}, "no address to offer"),
    ],
)
def test_a_config_that_cannot_work_names_the_field(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        start(**fields)


def test_a_taken_port_is_refused(node: core.Node) -> None:
    taken = {"udp_port": node.udp_port, "tcp_port": node.tcp_port, "mesh_port": node.mesh_ports[0]}
    for field, port in taken.items():
        with pytest.raises(OSError, match="can't be bound"):
            start(**{field: port})


def test_closing_twice_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    node = start(workers=3)
    node.close()
    node.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert node.drain() == []
    with pytest.raises(ValueError, match="closed"):
        node.handle(messages.encode(messages.RemovePeer(node=2)))
    with pytest.raises(ValueError, match="closed"):
        node.fileno()


def test_turn_and_the_front_are_there_only_where_asked_for() -> None:
    plain = start()
    assert (plain.turn_port, plain.front_port) == (0, 0)
    plain.close()
    turn = messages.TurnConfig(secret=b"of the test")
    both = start(turn=turn, front=messages.FrontConfig(web_port=1))
    assert both.turn_port
    assert both.front_port
    both.close()


def test_a_front_without_its_certificate_and_turn_without_a_secret_are_refused() -> None:
    with pytest.raises(ValueError, match=r"turn\.secret is empty"):
        start(turn=messages.TurnConfig(secret=b""))
    with pytest.raises(ValueError, match="only one of certificate and key"):
        start(front=messages.FrontConfig(web_port=1, certificate="c.pem"))
    absent = messages.FrontConfig(web_port=1, certificate="/no/such/c.pem", key="/no/such/k.pem")
    with pytest.raises(ValueError, match=r"/no/such/c\.pem holds no certificate"):
        start(front=absent)
