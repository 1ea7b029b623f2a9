"""The view of all cells, in a time of its own: leases, lists, lost cells, nodes that move."""

from __future__ import annotations

import pytest

from fairlead.cells import key, view
from fairlead.cells.change import (
    AnyRecord,
    CellLost,
    CellSynced,
    Change,
    RecordGone,
    RecordPut,
    gone,
)
from fairlead.cells.view import (
    GRACE,
    LEASE,
    Dropped,
    Entry,
    Listed,
    Lost,
    Opened,
    Stalled,
    Unreachable,
    View,
)
from tests.unit.cells import records

NODE, ROOM, PERSON = records.node(1), records.room(1), records.participant(1)


def entry(record: AnyRecord, cell: str = "jakarta") -> Entry:
    return Entry(cell=cell, key=key.key_of(record), value=key.encode(record))


def deleted(record: AnyRecord, cell: str = "jakarta") -> Entry:
    return Entry(cell=cell, key=key.key_of(record), value=None)


def listing(view: View, now: float, *listed: AnyRecord, cell: str = "jakarta") -> list[Change]:
    out = view.handle(now, Opened(cell=cell))
    for record in listed:
        out += view.handle(now, entry(record, cell))
    return out + view.handle(now, Listed(cell=cell))


def standing(now: float = 0.0) -> View:
    view = View(own=9)
    listing(view, now, ROOM, PERSON, NODE)
    return view


def ended(*some: AnyRecord) -> list[Change]:
    return [gone(record) for record in some]


def test_a_list_tells_the_node_first_and_then_that_it_is_complete() -> None:
    assert listing(View(own=9), 0.0, ROOM, PERSON, NODE) == [
        RecordPut(record=NODE),
        RecordPut(record=ROOM),
        RecordPut(record=PERSON),
        CellSynced(region="jakarta"),
    ]


def test_records_of_a_node_that_is_not_there_are_not_told() -> None:
    view = View(own=9)
    assert listing(view, 0.0, ROOM, PERSON) == [CellSynced(region="jakarta")]
    assert view.snapshot() == []
    assert view.handle(1.0, entry(NODE)) == [
        RecordPut(record=NODE),
        RecordPut(record=ROOM),
        RecordPut(record=PERSON),
    ]


def test_a_renewal_is_no_news_and_a_change_is() -> None:
    view = standing()
    assert view.handle(1.0, entry(NODE)) == []
    assert view.handle(1.0, entry(PERSON)) == []
    changed = records.participant(1, info=b"new")
    assert view.handle(1.0, entry(changed)) == [RecordPut(record=changed)]


def test_a_lease_that_is_not_renewed_ends_all_of_a_node() -> None:
    view = standing()
    view.handle(4.0, entry(NODE))
    assert view.deadline() == 4.0 + LEASE
    assert view.handle(4.0 + LEASE - 0.1, None) == []
    assert view.handle(4.0 + LEASE, None) == ended(PERSON, ROOM, NODE)
    assert view.snapshot() == []
    assert view.cell_of(1) is None
    assert view.deadline() is None


def test_a_lease_does_not_run_while_this_process_stands_still() -> None:
    view = standing()
    assert view.handle(60.0, Stalled(seconds=58.0)) == []
    assert view.handle(58.0 + LEASE, None) == ended(PERSON, ROOM, NODE)


def test_a_node_record_that_is_deleted_ends_all_of_a_node() -> None:
    view = standing()
    assert view.handle(1.0, deleted(PERSON)) == ended(PERSON)
    assert view.handle(1.0, deleted(NODE)) == ended(ROOM, NODE)
    assert view.handle(1.0, deleted(NODE)) == []


def test_records_of_a_lost_cell_stand_for_the_grace() -> None:
    view = standing()
    assert view.handle(10.0 - LEASE, Lost(cell="jakarta")) == [CellLost(region="jakarta")]
    assert view.handle(20.0, Lost(cell="jakarta")) == []
    assert len(view.snapshot()) == 3
    end = 10.0 - LEASE + GRACE
    assert view.deadline() == end
    assert view.handle(end, None) == ended(PERSON, ROOM, NODE)
    assert view.deadline() is None
    assert listing(view, end + 1, NODE) == [RecordPut(record=NODE), CellSynced(region="jakarta")]


def test_a_cell_that_is_back_tells_only_what_is_different() -> None:
    view = standing()
    view.handle(1.0, Lost(cell="jakarta"))
    comes = records.participant(1, "PA_2")
    assert listing(view, 5.0, ROOM, comes, NODE) == [
        RecordPut(record=comes),
        gone(PERSON),
        CellSynced(region="jakarta"),
    ]


def test_a_cell_that_is_back_empty_waits_for_its_nodes_to_write_anew() -> None:
    view = standing()
    view.handle(1.0, Lost(cell="jakarta"))
    assert listing(view, 2.0) == [CellSynced(region="jakarta")]
    assert view.handle(2.1, entry(ROOM)) == []
    assert view.handle(2.2, entry(NODE)) == [gone(PERSON)]
    assert view.handle(2.2 + LEASE, None) == ended(ROOM, NODE)


def test_a_node_that_stays_away_from_a_cell_that_is_back_is_gone_after_a_lease() -> None:
    view = standing()
    view.handle(1.0, Lost(cell="jakarta"))
    listing(view, 2.0)
    assert view.handle(2.0 + LEASE, None) == ended(PERSON, ROOM, NODE)


def test_a_cell_lost_again_while_it_is_listed_keeps_its_grace() -> None:
    view = standing()
    view.handle(1.0, Lost(cell="jakarta"))
    view.handle(20.0, Opened(cell="jakarta"))
    assert view.handle(20.1, Lost(cell="jakarta")) == []
    assert view.handle(1.0 + GRACE, None) == ended(PERSON, ROOM, NODE)


def test_a_node_out_of_reach_of_cell_and_mesh_is_gone_after_a_lease() -> None:
    view = standing()
    assert view.handle(1.0, Unreachable(nodes=frozenset({1}))) == []
    view.handle(2.0, entry(NODE))
    view.handle(3.0, Lost(cell="jakarta"))
    view.handle(3.0 + LEASE / 2, Lost(cell="jakarta"))
    assert view.handle(3.0 + LEASE, None) == ended(PERSON, ROOM, NODE)


def test_a_node_that_the_mesh_reaches_again_has_the_grace() -> None:
    view = standing()
    view.handle(1.0, Lost(cell="jakarta"))
    view.handle(2.0, Unreachable(nodes=frozenset({1})))
    assert view.deadline() == 2.0 + LEASE
    view.handle(3.0, Unreachable(nodes=frozenset()))
    assert view.deadline() == 1.0 + GRACE


def test_a_node_that_moves_to_another_cell_is_told_from_there_only() -> None:
    view = standing()
    moved = records.node(1, "singapore", started_at=2)
    out = listing(view, 1.0, moved, cell="singapore")
    assert out == [
        *ended(PERSON, ROOM, NODE),
        RecordPut(record=moved),
        CellSynced(region="singapore"),
    ]
    assert view.cell_of(1) == "singapore"
    assert view.handle(1.0, deleted(PERSON)) == []
    view.handle(4.0, entry(moved, "singapore"))
    assert view.handle(LEASE, None) == []
    assert view.snapshot() == [RecordPut(record=moved)]


def test_a_dropped_cell_is_forgotten_at_once() -> None:
    view = standing()
    assert view.handle(1.0, Dropped(cell="jakarta")) == ended(PERSON, ROOM, NODE)
    assert view.handle(1.0, Dropped(cell="jakarta")) == []
    assert view.deadline() is None


def test_own_records_are_no_news() -> None:
    view = View(own=1)
    assert listing(view, 0.0, ROOM, PERSON, NODE) == [CellSynced(region="jakarta")]


def test_what_cannot_be_read_is_counted() -> None:
    view = View(own=9)
    listing(view, 0.0, NODE)
    for name, value in {
        "participant.00.1.PA_1": key.encode(PERSON),  # at another's key
        "room.00.2": b"\xff",
        "planet.1": b"",
        "node": b"",
        "node.0": b"",
    }.items():
        assert view.handle(1.0, Entry(cell="jakarta", key=name, value=value)) == []
    assert view.counts["malformed"] == 5


def test_records_over_the_limit_are_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MAX_RECORDS", 2)
    seen = View(own=9)
    listing(seen, 0.0, NODE, ROOM)
    assert seen.handle(1.0, entry(PERSON)) == []
    assert seen.counts["over_limit"] == 1
    seen.handle(2.0, deleted(ROOM))
    assert seen.handle(2.0, entry(PERSON)) == [RecordPut(record=PERSON)]
    seen.handle(2.0 + LEASE, None)
    assert not seen._cells["jakarta"].count


def test_a_record_gone_names_room_and_sid() -> None:
    assert gone(PERSON) == RecordGone(kind="participant", node=1, room="shop", sid="PA_1")
    assert gone(records.links(1)) == RecordGone(kind="links", node=1)
    assert gone(records.region_sets(1)) == RecordGone(kind="regions", node=1)
    assert gone(records.routes(1, 2)) == RecordGone(kind="routes", node=1, target=2)
    assert gone(records.controller(1)) == RecordGone(kind="controller", node=1)


@pytest.mark.parametrize(
    "record",
    [
        records.node(5),
        records.links(5),
        records.room(5),
        records.participant(5, sid="4"),
        records.region_sets(5, ["jakarta"]),
        records.routes(5, target=4),
        records.controller(5),
    ],
)
def test_a_key_says_who_writes_it(record: AnyRecord) -> None:
    at = key.key_of(record)
    assert key.node_of(at) == key.writer_of(at) == 5
    assert key.decode(at, key.encode(record)) == record


def test_a_foreign_key_has_no_writer() -> None:
    assert [key.writer_of(name) for name in ("", "node.x", "poem.5", "routes.5")] == [None] * 4
