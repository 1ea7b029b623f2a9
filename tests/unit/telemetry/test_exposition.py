"""The text format, and what a node's measures become in it."""

from __future__ import annotations

import pytest

from fairlead.protocol.node import Link
from fairlead.routing.controller import Explanation
from fairlead.telemetry.exposition import Family, Sample, expose
from fairlead.telemetry.node import Measures, families


def test_families_are_written_with_help_type_and_sorted_labels() -> None:
    family = Family(
        name="fairlead_x_total",
        kind="counter",
        help="Lines\nand \\ slashes.",
        samples=[Sample(3), Sample(0.25, {"b": 'say "hi"\n', "a": "\\"})],
    )
    assert expose([family]) == (
        "# HELP fairlead_x_total Lines\\nand \\\\ slashes.\n"
        "# TYPE fairlead_x_total counter\n"
        "fairlead_x_total 3\n"
        'fairlead_x_total{a="\\\\",b="say \\"hi\\"\\n"} 0.25\n'
    )


@pytest.mark.parametrize(("name", "label"), [("bad name", "a"), ("", "a"), ("ok", "b-c")])
def test_names_that_a_scraper_would_refuse_are_refused(name: str, label: str) -> None:
    family = Family(name=name, kind="gauge", help="", samples=[Sample(1, {label: "x"})])
    with pytest.raises(ValueError, match="can't be"):
        expose([family])


def test_a_node_tells_its_links_routes_rooms_and_cells() -> None:
    measures = Measures(
        counters={"forwarded": 7},
        links=[
            _link(2, "up", 180.0),
            _link(3, "connecting", None),
        ],
        routes=[
            Explanation(
                destination=2,
                via=[3],
                reachable=True,
                rtt_ms=1.0,
                direct_rtt_ms=None,
                sentence="",
            )
        ],
        rooms=2,
        participants=5,
        sessions=4,
        cells={"jakarta": True, "frankfurt": False},
        cell_counts={"malformed": 1},
    )
    lines = expose(families(measures)).splitlines()
    for line in (
        "fairlead_rooms 2",
        "fairlead_participants 5",
        "fairlead_sessions 4",
        'fairlead_packet_path_total{name="forwarded"} 7',
        'fairlead_link_up{node="2"} 1',
        'fairlead_link_up{node="3"} 0',
        'fairlead_link_rtt_seconds{node="2"} 0.17999999999999999',
        'fairlead_route_relays{node="2"} 1',
        'fairlead_cell_connected{region="frankfurt"} 0',
        'fairlead_cell_events_total{name="malformed"} 1',
    ):
        assert line in lines
    assert not any(line.startswith('fairlead_link_rtt_seconds{node="3"}') for line in lines)


def _link(node: int, state: str, rtt_ms: float | None) -> Link:
    assert state in ("connecting", "up", "down")
    return Link(
        node=node,
        state=state,  # type: ignore[arg-type]
        rtt_ms=rtt_ms,
        jitter_ms=1.0,
        loss=0.01,
        residual_loss=0.0,
        sent_packets=1,
        received_packets=1,
    )
