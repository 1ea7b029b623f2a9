"""Routes of one node as links come, worsen, fail and return."""

from __future__ import annotations

import msgspec

from fairlead.policy.regions import region_tag
from fairlead.protocol.node import (
    AddPeer,
    LinkReport,
    Policy,
    RemovePeer,
    Route,
    SetLink,
    SetPolicies,
    SetProtection,
    SetRoutes,
)
from fairlead.routing.follower import Follower, Settings
from fairlead.routing.inputs import (
    FollowerOutput,
    LinksHeard,
    NodeHeard,
    NodeLost,
    Publish,
    RegionSetsHeard,
    RegionSetsLost,
)
from fairlead.routing.report import LinkTerms
from fairlead.types import LinksRecord, LinkState, NodeRecord, RegionSetsRecord
from tests.unit.routing import network as make
from tests.unit.routing.network import report

JAKARTA, SINGAPORE, FRANKFURT = 1, 2, 3


def node(number: int, address: str = "127.0.0.1:9") -> NodeRecord:
    region = {1: "jakarta", 2: "singapore", 3: "frankfurt"}[number]
    return make.node(number, region, address=address)


def heard(number: int, **links: float) -> LinksHeard:
    states = [LinkState(peer=int(n[1:]), up=True, rtt_ms=rtt) for n, rtt in links.items()]
    return LinksHeard(record=LinksRecord(node=number, links=states))


def routes(out: list[FollowerOutput]) -> dict[int, list[int]] | None:
    sets = [output for output in out if isinstance(output, SetRoutes)]
    return {route.destination: route.via for route in sets[-1].routes} if sets else None


def network() -> Follower:
    follower = Follower(node(JAKARTA))
    follower.handle(0.0, NodeHeard(record=node(SINGAPORE)))
    follower.handle(0.0, NodeHeard(record=node(FRANKFURT)))
    follower.handle(0.1, heard(SINGAPORE, n1=15.0, n3=160.0))
    return follower


def test_a_node_becomes_a_peer_with_a_direct_route_until_measured() -> None:
    out = Follower(node(JAKARTA)).handle(0.0, NodeHeard(record=node(SINGAPORE)))
    assert out == [
        AddPeer(node=SINGAPORE, public_key=bytes(32), addresses=["127.0.0.1:9"]),
        SetRoutes(routes=[Route(destination=SINGAPORE, via=[])]),
    ]


def test_a_relay_is_taken_only_for_a_gain_over_both_thresholds() -> None:
    follower = network()
    assert routes(follower.handle(1.0, report(n2=15.0, n3=180.0))) == {2: [], 3: []}
    assert follower.explain()[1].via == []
    # 177 ms over Singapore: 10 ms are gained but not 10 %.
    assert routes(follower.handle(2.0, report(n2=15.0, n3=190.0))) is None
    assert routes(follower.handle(3.0, report(n2=15.0, n3=240.0))) == {2: [], 3: [SINGAPORE]}
    why = follower.explain()[1]
    assert (why.rtt_ms, why.direct_rtt_ms) == (175.0, 240.0)
    assert why.sentence == "via singapore: 65 ms better; the second path is the direct link."
    assert (why.second, why.second_rtt_ms, why.leased) == ([], 240.0, False)
    assert why.cost == 88.5
    assert {name: ms for name, ms in why.parts.items() if ms} == {"delay": 87.5, "relays": 1.0}


def test_a_working_relay_is_kept_while_the_direct_link_is_not_clearly_better() -> None:
    follower = network()
    follower.handle(1.0, report(n2=15.0, n3=240.0))
    assert routes(follower.handle(3.0, report(n2=15.0, n3=170.0))) is None
    assert follower.explain()[1].via == [SINGAPORE]
    assert "kept, since the direct link is not better" in follower.explain()[1].sentence


def test_good_news_is_believed_slowly() -> None:
    follower = network()
    follower.handle(1.0, report(n2=15.0, n3=240.0))
    moved = [
        second
        for second in range(2, 120)
        if routes(follower.handle(float(second), report(n2=15.0, n3=140.0))) == {2: [], 3: []}
    ]
    assert len(moved) == 1
    assert 15 < moved[0] < 60


def test_a_direct_link_that_fails_is_left_at_once() -> None:
    follower = network()
    follower.handle(1.0, report(n2=15.0, n3=170.0))
    out = follower.handle(1.001, report(n2=15.0, n3=None))
    assert routes(out) == {2: [], 3: [SINGAPORE]}
    assert any(isinstance(output, Publish) for output in out)
    assert (
        "via singapore: the direct link is down; no second path" in follower.explain()[1].sentence
    )


def test_no_path_is_no_route_and_is_explained() -> None:
    follower = network()
    assert routes(follower.handle(1.0, report(n2=None, n3=None))) == {}
    why = follower.explain()[1]
    assert not why.reachable
    assert why.sentence.startswith("There is no path to frankfurt")


def test_figures_alone_wait_for_the_deadline_and_state_does_not() -> None:
    follower = network()
    follower.handle(1.0, report(n2=15.0, n3=170.0))
    assert routes(follower.handle(1.1, report(n2=15.0, n3=400.0))) is None
    assert follower.deadline() == 2.0
    assert routes(follower.handle(2.0, None)) == {2: [], 3: [SINGAPORE]}
    assert follower.deadline() is None


def test_own_links_are_published_once_a_second_and_when_there_is_news() -> None:
    follower = network()
    first = follower.handle(1.0, report(n2=15.0, n3=170.0))
    assert [type(output) for output in first if isinstance(output, Publish)] == [Publish]

    def published(at: float, rtt: float | None) -> bool:
        out = follower.handle(at, report(n2=15.0, n3=rtt))
        return any(isinstance(output, Publish) for output in out)

    assert not published(1.5, 200.0)
    assert published(2.1, 200.0)
    assert not published(4.0, 201.0)
    assert published(4.1, None)
    assert published(14.2, None)


def test_a_restarted_node_is_linked_anew_and_a_lost_one_forgotten() -> None:
    follower = network()
    moved = node(FRANKFURT, address="127.0.0.1:10")
    out = follower.handle(1.0, NodeHeard(record=moved))
    assert out[0] == RemovePeer(node=FRANKFURT)
    assert out[1] == AddPeer(node=FRANKFURT, public_key=bytes(32), addresses=["127.0.0.1:10"])
    out = follower.handle(2.0, NodeLost(node=FRANKFURT))
    assert out == [
        RemovePeer(node=FRANKFURT),
        SetRoutes(routes=[Route(destination=SINGAPORE, via=[])]),
    ]
    assert follower.handle(3.0, NodeLost(node=FRANKFURT)) == []


def test_a_node_does_not_believe_others_about_itself() -> None:
    follower = network()
    assert follower.handle(1.0, NodeHeard(record=node(JAKARTA))) == []
    follower.handle(1.0, heard(JAKARTA, n3=1.0))
    follower.handle(3.0, None)
    assert follower.explain()[1].rtt_ms is None


def test_a_link_not_measured_yet_is_not_called_down() -> None:
    follower = network()
    assert follower.explain()[0].sentence == (
        "The direct link to singapore is being set up, and no other way is known."
    )
    assert follower.unreachable() == {SINGAPORE, FRANKFURT}
    follower.handle(1.0, report(n2=15.0, n3=170.0))
    assert follower.unreachable() == frozenset()
    follower.handle(2.0, report(n2=None, n3=None))
    assert follower.unreachable() == {SINGAPORE, FRANKFURT}


def test_what_the_operator_knows_reaches_the_packet_path_and_the_others() -> None:
    settings = Settings(
        links=[
            LinkTerms(to="singapore", risks=["cable-a"], price_per_gb=0.02, capacity_kbps=9000),
            LinkTerms(to=FRANKFURT, capacity_kbps=5000),
            LinkTerms(to="frankfurt", price_per_gb=9.0),
        ],
        protection=SetProtection(share=0.5, kbps=None),
    )
    follower = Follower(node(JAKARTA), settings)
    out = follower.handle(0.0, NodeHeard(record=node(SINGAPORE)))
    assert out[0] == SetProtection(share=0.5, kbps=None)
    assert SetLink(node=SINGAPORE, capacity_kbps=9000) in out
    out = follower.handle(0.0, NodeHeard(record=node(FRANKFURT)))
    assert SetLink(node=FRANKFURT, capacity_kbps=5000) in out
    out = follower.handle(1.0, report(n2=15.0, n3=170.0))
    [published] = [o.record for o in out if isinstance(o, Publish)]
    assert isinstance(published, LinksRecord)
    near, far = published.links
    assert (near.risks, near.price_per_gb, near.capacity_kbps) == (["cable-a"], 0.02, 9000)
    assert (far.risks, far.price_per_gb, far.capacity_kbps) == ([], 0.0, 5000)


def test_policies_come_before_the_routes_under_them() -> None:
    follower = network()
    follower.handle(1.0, report(n2=15.0, n3=170.0))
    sets = RegionSetsRecord(node=FRANKFURT, sets=[["jakarta", "singapore"]])
    out = follower.handle(2.0, RegionSetsHeard(record=sets))
    tag = region_tag(["jakarta", "singapore"])
    assert [type(o) for o in out] == [SetPolicies, SetRoutes]
    assert out[0] == SetPolicies(policies=[Policy(tag=tag, nodes=[JAKARTA, SINGAPORE])])
    assert isinstance(out[1], SetRoutes)
    assert Route(destination=SINGAPORE, via=[], second=None, tag=tag) in out[1].routes
    why = next(w for w in follower.explain() if (w.tag, w.destination) == (tag, FRANKFURT))
    assert why.regions == ["jakarta", "singapore"]
    assert why.sentence == (
        "No lawful path to frankfurt: frankfurt is outside jakarta and singapore, "
        "where this may be."
    )
    out = follower.handle(3.0, RegionSetsLost(node=FRANKFURT))
    assert out[0] == SetPolicies(policies=[])


def test_a_choice_is_explained_in_one_sentence() -> None:
    follower = network()
    lossy = report(n2=15.0, n3=206.0)
    worse = msgspec.structs.replace(lossy.links[1], residual_loss=0.021)
    follower.handle(1.0, LinkReport(links=[lossy.links[0], worse]))
    assert follower.explain()[1].sentence == (
        "via singapore: 31 ms better, direct lost 2.1 %; the second path is the direct link."
    )
    assert follower.explain()[0].sentence == (
        "direct to singapore: no way over relays is better by 10 ms and 10 %; "
        "second path over frankfurt."
    )
