"""Bad tables, old epochs and two controllers: each refused by name, the last good kept."""

from __future__ import annotations

import pytest

from fairlead.routing.lease import LEASE, Leases
from fairlead.types import ControllerRecord, NodeRecord, RouteEntry, RoutesRecord
from tests.unit.routing.network import node

TAG = 77
NODES: dict[int, NodeRecord] = {n: node(n, relay=n != 5) for n in range(1, 7)}
POLICIES = {TAG: frozenset({1, 2, 3})}


def entry(to: int, *via: int, second: list[int] | None = None, tag: int = 0) -> RouteEntry:
    return RouteEntry(destination=to, via=list(via), second=second, tag=tag)


def table(
    *routes: RouteEntry, epoch: int = 5, serial: int = 1, by: int = 3, target: int = 1
) -> RoutesRecord:
    return RoutesRecord(node=by, target=target, epoch=epoch, serial=serial, routes=list(routes))


GOOD = table(entry(2), entry(4, 2, second=[3]), entry(2, 3, tag=TAG))


def holding() -> Leases:
    leases = Leases(1)
    assert leases.heard(0.0, GOOD, NODES, POLICIES)
    return leases


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (table(entry(2), epoch=4, serial=99), "old_epoch"),
        (table(entry(2), serial=0), "old_serial"),
        (table(entry(2), serial=2, by=4), "second_controller"),
        (table(entry(9), serial=2), "unknown_node"),
        (table(entry(2, 9), serial=2), "unknown_node"),
        (table(entry(2, 3, second=[9]), serial=2), "unknown_node"),
        (table(entry(2, 3, 3), serial=2), "loop"),
        (table(entry(2, 2), serial=2), "loop"),
        (table(entry(1), serial=2), "loop"),
        (table(entry(2, 1), serial=2), "loop"),
        (table(entry(2, 3, 4, 6), serial=2), "too_many_relays"),
        (table(entry(2, 5), serial=2), "not_a_relay"),
        (table(entry(2, 3, second=[5]), serial=2), "not_a_relay"),
        (table(entry(2, 4, tag=TAG), serial=2), "outside_regions"),
        (table(entry(4, tag=TAG), serial=2), "outside_regions"),
        (table(entry(2, second=[4], tag=TAG), serial=2), "outside_regions"),
        (table(entry(2, 3, second=[4, 3]), serial=2), "not_disjoint"),
        (table(entry(2, second=[]), serial=2), "not_disjoint"),
        (table(entry(2), entry(2, 3), serial=2), "listed_twice"),
    ],
)
def test_a_bad_table_is_refused_by_name_and_the_last_good_stays(
    bad: RoutesRecord, why: str
) -> None:
    leases = holding()
    assert not leases.heard(1.0, bad, NODES, POLICIES)
    assert {name: n for name, n in leases.refused.items() if n} == {why: 1}
    assert leases.current is not None
    assert leases.current.record == GOOD


def test_a_higher_epoch_takes_over_and_the_lower_is_refused_from_then_on() -> None:
    leases = holding()
    new = table(entry(2, 3), epoch=6, by=4)
    assert leases.heard(1.0, new, NODES, POLICIES)
    assert not leases.heard(2.0, GOOD, NODES, POLICIES)
    assert leases.refused["old_epoch"] == 1
    assert leases.epoch == 6


def test_an_active_controller_announces_its_epoch_before_its_tables() -> None:
    leases = holding()
    leases.controller_heard(1.0, ControllerRecord(node=4, epoch=6, active=True, beat=1))
    assert not leases.heard(2.0, table(entry(2, 3), serial=2), NODES, POLICIES)
    assert leases.current is not None
    assert leases.current.record == GOOD  # what is in force lasts until the new one says more


def test_of_two_that_lead_in_one_epoch_the_lower_node_wins() -> None:
    leases = holding()
    lower = table(entry(2, 3), by=2)
    assert leases.heard(1.0, lower, NODES, POLICIES)
    assert not leases.heard(2.0, GOOD, NODES, POLICIES)
    assert leases.refused["second_controller"] == 1


def test_a_table_that_names_a_node_not_heard_of_yet_waits_for_it() -> None:
    leases = holding()
    early = table(entry(2), entry(7), serial=2)
    assert not leases.heard(1.0, early, NODES, POLICIES)
    assert not leases.look_again(2.0, NODES, POLICIES)
    assert leases.look_again(3.0, {**NODES, 7: node(7)}, POLICIES)
    assert leases.current is not None
    assert leases.current.record == early


def test_a_lease_lasts_a_quarter_of_an_hour_after_its_controllers_last_word() -> None:
    leases = holding()
    leases.controller_heard(100.0, ControllerRecord(node=3, epoch=5, active=True, beat=2))
    leases.controller_heard(500.0, ControllerRecord(node=3, epoch=5, active=False, beat=3))
    assert leases.at(99.0 + LEASE) is not None
    assert leases.at(100.0 + LEASE) is None


def test_others_tables_are_others_business() -> None:
    leases = Leases(1)
    assert not leases.heard(0.0, table(entry(3), target=2), NODES, POLICIES)
    assert leases.current is None
    assert not any(leases.refused.values())
