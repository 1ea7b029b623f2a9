"""Routes of one node as links come, worsen, fail and return."""

from __future__ import annotations

from fairlead.protocol.node import AddPeer, Link, LinkReport, RemovePeer, Route, SetRoutes
from fairlead.routing.controller import (
    Controller,
    LinksHeard,
    NodeHeard,
    NodeLost,
    Output,
    Publish,
)
from fairlead.types import LinksRecord, LinkState, NodeRecord

JAKARTA, SINGAPORE, FRANKFURT = 1, 2, 3


def node(number: int, address: str = "127.0.0.1:9") -> NodeRecord:
    return NodeRecord(
        node=number,
        region={1: "jakarta", 2: "singapore", 3: "frankfurt"}[number],
        url="ws://localhost:1",
        mesh_addresses=[address],
        mesh_key=bytes(32),
        started_at=1,
    )


def report(**links: float | None) -> LinkReport:
    return LinkReport(
        links=[
            Link(
                node=int(name[1:]),
                state="down" if rtt is None else "up",
                rtt_ms=rtt,
                jitter_ms=0.0,
                loss=0.0,
                residual_loss=0.0,
                sent_packets=0,
                received_packets=0,
            )
            for name, rtt in links.items()
        ]
    )


def heard(number: int, **links: float) -> LinksHeard:
    states = [LinkState(peer=int(n[1:]), up=True, rtt_ms=rtt) for n, rtt in links.items()]
    return LinksHeard(record=LinksRecord(node=number, links=states))


def routes(out: list[Output]) -> dict[int, list[int]] | None:
    sets = [output for output in out if isinstance(output, SetRoutes)]
    return {route.destination: route.via for route in sets[-1].routes} if sets else None


def network() -> Controller:
    controller = Controller(JAKARTA)
    controller.handle(0.0, NodeHeard(record=node(SINGAPORE)))
    controller.handle(0.0, NodeHeard(record=node(FRANKFURT)))
    controller.handle(0.1, heard(SINGAPORE, n1=15.0, n3=160.0))
    return controller


def test_a_node_becomes_a_peer_with_a_direct_route_until_measured() -> None:
    out = Controller(JAKARTA).handle(0.0, NodeHeard(record=node(SINGAPORE)))
    assert out == [
        AddPeer(node=SINGAPORE, public_key=bytes(32), addresses=["127.0.0.1:9"]),
        SetRoutes(routes=[Route(destination=SINGAPORE, via=[])]),
    ]


def test_a_relay_is_taken_only_for_a_gain_over_both_thresholds() -> None:
    controller = network()
    assert routes(controller.handle(1.0, report(n2=15.0, n3=180.0))) is None
    assert controller.explain()[1].via == []
    # 177 ms over Singapore: 10 ms are gained but not 10 %.
    assert routes(controller.handle(2.0, report(n2=15.0, n3=190.0))) is None
    assert routes(controller.handle(3.0, report(n2=15.0, n3=240.0))) == {2: [], 3: [SINGAPORE]}
    why = controller.explain()[1]
    assert (why.rtt_ms, why.direct_rtt_ms) == (175.0, 240.0)
    assert why.sentence == "Over singapore, frankfurt is 65 ms nearer than directly."


def test_a_working_relay_is_kept_while_the_direct_link_is_not_clearly_better() -> None:
    controller = network()
    controller.handle(1.0, report(n2=15.0, n3=240.0))
    assert routes(controller.handle(3.0, report(n2=15.0, n3=170.0))) is None
    assert controller.explain()[1].via == [SINGAPORE]
    assert "is kept" in controller.explain()[1].sentence
    assert routes(controller.handle(5.0, report(n2=15.0, n3=140.0))) == {2: [], 3: []}


def test_a_direct_link_that_fails_is_left_at_once() -> None:
    controller = network()
    controller.handle(1.0, report(n2=15.0, n3=170.0))
    out = controller.handle(1.001, report(n2=15.0, n3=None))
    assert routes(out) == {2: [], 3: [SINGAPORE]}
    assert any(isinstance(output, Publish) for output in out)
    assert "is down; singapore reaches it" in controller.explain()[1].sentence


def test_no_path_is_no_route_and_is_explained() -> None:
    controller = network()
    assert routes(controller.handle(1.0, report(n2=None, n3=None))) == {}
    why = controller.explain()[1]
    assert not why.reachable
    assert why.sentence.startswith("There is no path to frankfurt")


def test_figures_alone_wait_for_the_deadline_and_state_does_not() -> None:
    controller = network()
    controller.handle(1.0, report(n2=15.0, n3=170.0))
    assert routes(controller.handle(1.1, report(n2=15.0, n3=400.0))) is None
    assert controller.deadline() == 2.0
    assert routes(controller.handle(2.0, None)) == {2: [], 3: [SINGAPORE]}
    assert controller.deadline() is None


def test_own_links_are_published_once_a_second_and_when_there_is_news() -> None:
    controller = network()
    first = controller.handle(1.0, report(n2=15.0, n3=170.0))
    assert [type(output) for output in first if isinstance(output, Publish)] == [Publish]

    def published(at: float, rtt: float | None) -> bool:
        out = controller.handle(at, report(n2=15.0, n3=rtt))
        return any(isinstance(output, Publish) for output in out)

    assert not published(1.5, 200.0)
    assert published(2.1, 200.0)
    assert not published(4.0, 201.0)
    assert published(4.1, None)
    assert published(14.2, None)


def test_a_restarted_node_is_linked_anew_and_a_lost_one_forgotten() -> None:
    controller = network()
    moved = node(FRANKFURT, address="127.0.0.1:10")
    out = controller.handle(1.0, NodeHeard(record=moved))
    assert out[0] == RemovePeer(node=FRANKFURT)
    assert out[1] == AddPeer(node=FRANKFURT, public_key=bytes(32), addresses=["127.0.0.1:10"])
    out = controller.handle(2.0, NodeLost(node=FRANKFURT))
    assert out == [
        RemovePeer(node=FRANKFURT),
        SetRoutes(routes=[Route(destination=SINGAPORE, via=[])]),
    ]
    assert controller.handle(3.0, NodeLost(node=FRANKFURT)) == []


def test_a_node_does_not_believe_others_about_itself() -> None:
    controller = network()
    assert controller.handle(1.0, NodeHeard(record=node(JAKARTA))) == []
    controller.handle(1.0, heard(JAKARTA, n3=1.0))
    controller.handle(3.0, None)
    assert controller.explain()[1].rtt_ms is None


def test_a_link_not_measured_yet_is_not_called_down() -> None:
    controller = network()
    assert controller.explain()[0].sentence == (
        "The direct link to singapore is being set up, and no other way is known."
    )
    assert controller.unreachable() == {SINGAPORE, FRANKFURT}
    controller.handle(1.0, report(n2=15.0, n3=170.0))
    assert controller.unreachable() == frozenset()
    controller.handle(2.0, report(n2=None, n3=None))
    assert controller.unreachable() == {SINGAPORE, FRANKFURT}
