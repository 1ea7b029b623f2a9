"""What a node's measures become as metrics."""

from __future__ import annotations

import re
from pathlib import Path

from fairlead.protocol.node import Link, LinkStateName, Pair
from fairlead.routing.explain import Explanation
from fairlead.telemetry.exposition import expose
from fairlead.telemetry.node import Measures, families

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def lines(**measured: object) -> list[str]:
    return expose(families(Measures(**measured))).splitlines()  # type: ignore[arg-type]


def link(node: int, state: LinkStateName = "up", **known: object) -> Link:
    fields = {
        "rtt_ms": 180.0 if state in ("up", "suspect") else None,
        "jitter_ms": 1.0,
        "loss": 0.25,
        "residual_loss": 0.0,
        "sent_packets": 7,
        "received_packets": 5,
        **known,
    }
    return Link(node=node, state=state, **fields)  # type: ignore[arg-type]


def route(**known: object) -> Explanation:
    fields = {
        "destination": 2,
        "via": [3],
        "reachable": True,
        "rtt_ms": 500.0,
        "direct_rtt_ms": None,
        "sentence": "",
        **known,
    }
    return Explanation(**fields)  # type: ignore[arg-type]


def test_rooms_cells_and_the_packet_paths_own_counts() -> None:
    told = lines(
        counters={"forwarded": 7},
        rooms=2,
        participants=5,
        sessions=4,
        cells={"jakarta": True, "frankfurt": False},
        cell_counts={"malformed": 1},
    )
    for line in (
        "fairlead_rooms 2",
        "fairlead_participants 5",
        "fairlead_sessions 4",
        'fairlead_packet_path_total{name="forwarded"} 7',
        'fairlead_cell_connected{region="frankfurt"} 0',
        'fairlead_cell_events_total{name="malformed"} 1',
    ):
        assert line in told


def test_the_state_of_a_link_is_one_of_four() -> None:
    told = lines(links=[link(2, "suspect", fault="in"), link(3, "connecting")])
    for line in (
        'fairlead_link_up{node="2"} 0',
        'fairlead_link_state{node="2",state="suspect"} 1',
        'fairlead_link_state{node="2",state="up"} 0',
        'fairlead_link_state{node="3",state="connecting"} 1',
        'fairlead_link_fault{direction="in",node="2"} 1',
        'fairlead_link_fault{direction="out",node="2"} 0',
    ):
        assert line in told
    states = [line for line in told if line.startswith("fairlead_link_state{")]
    assert len(states) == 8
    assert sum(line.endswith(" 1") for line in states) == 2


def test_figures_of_a_link_are_in_seconds_bytes_and_ratios_by_direction() -> None:
    told = lines(
        links=[
            link(
                2,
                rtt_ms=250.0,
                rtt_min_ms=125.0,
                loss_out=0.5,
                kbps_in=8.0,
                kbps_out=16.0,
                capacity_kbps=1000,
                mtu=1400,
                queue_ms=500.0,
            )
        ]
    )
    for line in (
        'fairlead_link_rtt_seconds{node="2"} 0.25',
        'fairlead_link_rtt_min_seconds{node="2"} 0.125',
        'fairlead_link_loss_ratio{direction="in",node="2"} 0.25',
        'fairlead_link_loss_ratio{direction="out",node="2"} 0.5',
        'fairlead_link_bytes_per_second{direction="in",node="2"} 1000',
        'fairlead_link_bytes_per_second{direction="out",node="2"} 2000',
        'fairlead_link_capacity_bytes_per_second{node="2"} 125000',
        'fairlead_link_mtu_bytes{node="2"} 1400',
        'fairlead_link_queue_seconds{node="2"} 0.5',
        'fairlead_link_packets_total{direction="in",node="2"} 5',
        'fairlead_link_packets_total{direction="out",node="2"} 7',
    ):
        assert line in told


def test_what_is_not_known_of_a_link_has_no_sample() -> None:
    told = lines(links=[link(2, "connecting")])
    unknown = ("rtt_seconds", "rtt_p95_seconds", "capacity_bytes_per_second", "mtu_bytes")
    assert not [
        line for line in told if line.startswith(tuple(f"fairlead_link_{u}{{" for u in unknown))
    ]


def test_each_port_pair() -> None:
    pairs = [
        Pair(pair=0, state="down", rtt_ms=None, loss=1.0),
        Pair(pair=1, state="up", rtt_ms=250.0, loss=0.0),
    ]
    told = lines(links=[link(2, pair=1, pairs=pairs)])
    for line in (
        'fairlead_link_pair_in_use{node="2",pair="0"} 0',
        'fairlead_link_pair_in_use{node="2",pair="1"} 1',
        'fairlead_link_pair_up{node="2",pair="0"} 0',
        'fairlead_link_pair_rtt_seconds{node="2",pair="1"} 0.25',
        'fairlead_link_pair_loss_ratio{node="2",pair="0"} 1',
    ):
        assert line in told
    assert not [
        line for line in told if line.startswith('fairlead_link_pair_rtt_seconds{node="2",pair="0"')
    ]


def test_paths_first_and_second_under_each_region_set() -> None:
    told = lines(
        routes=[
            route(second=[], second_rtt_ms=750.0, leased=True),
            route(regions=["frankfurt", "jakarta"], via=[]),
            route(destination=4, via=[], reachable=False, rtt_ms=None),
        ]
    )
    for line in (
        'fairlead_route_reachable{node="2",regions=""} 1',
        'fairlead_route_reachable{node="4",regions=""} 0',
        'fairlead_route_relays{node="2",path="first",regions=""} 1',
        'fairlead_route_relays{node="2",path="second",regions=""} 0',
        'fairlead_route_rtt_seconds{node="2",path="first",regions=""} 0.5',
        'fairlead_route_rtt_seconds{node="2",path="second",regions=""} 0.75',
        'fairlead_route_protected{node="2",regions=""} 1',
        'fairlead_route_protected{node="2",regions="frankfurt,jakarta"} 0',
        'fairlead_route_leased{node="2",regions=""} 1',
    ):
        assert line in told
    assert 'fairlead_route_protected{node="4",regions=""} 0' not in told


def test_whose_word_is_obeyed_and_what_was_refused() -> None:
    told = lines(
        controller=4, epoch=7, routing={"routes_refused_old_epoch": 2, "measurements_doubted": 1}
    )
    for line in (
        'fairlead_controller{node="4"} 1',
        "fairlead_controller_epoch 7",
        'fairlead_routes_refused_total{reason="old_epoch"} 2',
        'fairlead_routing{name="measurements_doubted"} 1',
    ):
        assert line in told
    assert not [line for line in lines() if line.startswith("fairlead_controller{")]


def test_copies_repairs_and_their_cost() -> None:
    told = lines(
        counters={
            "mesh_copies_sent_audio": 9,
            "mesh_copies_left_out_base": 2,
            "mesh_copy_bytes": 300,
            "mesh_first_bytes": 400,
            "mesh_detours": 1,
            "mesh_repairs_sent": 5,
            "mesh_shed_rest": 6,
        }
    )
    for line in (
        'fairlead_protection_copies_total{class="audio",copies="sent"} 9',
        'fairlead_protection_copies_total{class="base",copies="left_out"} 2',
        'fairlead_protection_bytes_total{path="copy"} 300',
        'fairlead_protection_bytes_total{path="first"} 400',
        'fairlead_protection_rescues_total{by="detour"} 1',
        'fairlead_repairs_total{outcome="asked_and_sent"} 5',
        'fairlead_shed_total{class="rest"} 6',
    ):
        assert line in told
    assert not [line for line in told if 'by="replay"' in line], "not counted yet: no sample"


def test_each_metric_is_in_the_documentation_and_nothing_else_is() -> None:
    names = {family.name for family in families(Measures())}
    told = set(re.findall(r"^\| `(fairlead_\w+)`", PAGE.read_text(), re.MULTILINE))
    assert told == names
