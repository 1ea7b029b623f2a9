"""What is held, what is trusted, what a tree is: tables over a network that changes."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.policy.regions import region_tag
from fairlead.routing.cost import FULL_MS
from fairlead.routing.damping import Damping
from fairlead.routing.links import Matrix
from fairlead.routing.network import Network
from fairlead.routing.paths import best_paths
from fairlead.routing.tables import Tables
from fairlead.routing.trees import WORTH, doubled_links, graft
from fairlead.types import LinksRecord, LinkState, RegionSetsRecord
from tests.unit.routing.network import INF, aws, node, records


def network(rtts: Matrix, regions: list[str] | None = None) -> Network:
    net = Network(node(99))
    for number in range(1, len(rtts) + 1):
        net.node_heard(node(number, regions[number - 1] if regions else ""))
    for record in records(rtts):
        net.links_heard(record)
    return net


def symmetric(rows: list[list[float]]) -> Matrix:
    rtts = np.array(rows, dtype=float)
    return np.minimum(rtts, rtts.T)


def triangle(direct: float) -> Matrix:
    """From 1 to 3: directly, or over 2 in 100 ms."""
    return symmetric([[INF, 50, direct], [50, INF, 50], [direct, 50, INF]])


def ways(seed: int, size: int) -> dict[int, tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    towns = rng.random((size, 2)) * 200
    rtts = np.hypot(*(towns[:, None] - towns).transpose(2, 0, 1)) * (
        1 + 0.6 * rng.random((size, size))
    )
    costs = rtts + 1.0
    np.fill_diagonal(costs, INF)
    paths = best_paths(costs)
    optimum = paths.cost.copy()
    graft(costs, paths, np.arange(size))
    both = np.isfinite(optimum)
    assert (paths.cost[both] <= WORTH * optimum[both] + 1e-9).all()
    result = {}
    for to in range(1, size):
        path = paths.at(0, to)
        assert path is not None
        result[to] = path.via
    return result


def test_an_origins_routes_cross_each_link_once() -> None:
    # What is left are cases where one copy would cost some path more than it is worth.
    trees = [ways(seed, 16) for seed in range(200)]
    assert sum(bool(doubled_links(tree)) for tree in trees) <= 2


def test_the_measured_worlds_trees_are_trees() -> None:
    rtts, _ = aws()
    tables = Tables()
    state = network(np.maximum(rtts, rtts.T)).weigh(0.0)
    table = tables.compute(state, {})[0]
    assert tables.doubled == 0
    for source in table.order:
        tree = {to: tuple(via) for to, via, _, _ in table.paths_from(source)}
        assert doubled_links(tree) == {}


def test_a_prefix_is_shared_where_it_costs_next_to_nothing() -> None:
    # 3 is best reached over 1 and 2, but 4 lies behind 3 and is too far for that prefix.
    costs = np.full((5, 5), INF)
    costs[0, 1], costs[1, 2], costs[0, 2], costs[2, 3], costs[3, 4] = 10, 10, 22.1, 300, 10
    paths = best_paths(costs)
    three, four = paths.at(0, 3), paths.at(0, 4)
    assert three is not None
    assert four is not None
    assert (three.via, four.via) == ((1, 2), (2, 3))
    assert graft(costs, paths, np.arange(5)) == 0
    three = paths.at(0, 3)
    assert three is not None
    assert three.via == (2,)


def test_a_path_is_held_until_another_is_better_by_both_thresholds() -> None:
    tables, net = Tables(), network(triangle(100.0))
    assert tables.compute(net.weigh(0.0), {})[0].path(1, 3) == ((), (2,), 0.0)
    for now, direct, via in ((1.0, 118.0, ()), (2.0, 121.0, ()), (3.0, 130.0, (2,))):
        for record in records(triangle(direct)):
            net.links_heard(record)
        path = tables.compute(net.weigh(now), {})[0].path(1, 3)
        assert path is not None
        assert path[0] == via


def test_a_link_that_came_back_is_on_probation_and_no_only_path_is_lost() -> None:
    tables, net = Tables(), network(triangle(60.0))
    path = tables.compute(net.weigh(0.0), {})[0].path(1, 3)
    assert path is not None
    assert path[0] == ()
    net.weigh(40.0)
    for record in records(triangle(INF)):
        net.links_heard(record)
    tables.compute(net.weigh(50.0), {})
    for record in records(triangle(60.0)):
        net.links_heard(record)
    vias = []
    for minute in range(15):
        path = tables.compute(net.weigh(60.0 + 60.0 * minute), {})[0].path(1, 3)
        assert path is not None
        vias.append(path[0])
    assert vias[0] == (2,)
    assert vias[-1] == ()
    moved = vias.index(())
    assert vias == [(2,)] * moved + [()] * (15 - moved)
    assert moved >= 3
    # The only path is used from the first moment.
    alone = np.full((2, 2), INF)
    net = network(alone)
    net.weigh(0.0)
    net.weigh(100.0)
    alone[0, 1] = alone[1, 0] = 50.0
    for record in records(alone):
        net.links_heard(record)
    assert Tables().compute(net.weigh(101.0), {})[0].path(1, 2) == ((), None, 0.0)


def test_a_link_on_hold_is_for_those_who_have_no_other_way() -> None:
    tables, net = Tables(), network(triangle(60.0))

    def path(over: float, held: bool) -> tuple[tuple[int, ...], tuple[int, ...] | None, float]:
        for record in records(triangle(60.0)):
            links = [
                msgspec.structs.replace(link, held=held)
                if {record.node, link.peer} == {1, 3}
                else msgspec.structs.replace(link, up=np.isfinite(over), rtt_ms=over)
                for link in record.links
            ]
            net.links_heard(LinksRecord(node=record.node, links=links))
        found = tables.compute(net.weigh(10.0), {})[0].path(1, 3)
        assert found is not None
        return found

    assert path(50.0, held=False) == ((), (2,), 0.0)
    assert path(50.0, held=True) == ((2,), (), 0.0)
    assert path(INF, held=True) == ((), None, 0.0)


def test_a_first_path_leaves_a_relay_for_the_second() -> None:
    # Over 2 and 3 is the shortest from 1 to 4, and only these two join them.
    rtts = [[INF, 10, 60, INF], [10, INF, 10, 300], [60, 10, INF, 10], [INF, 300, 10, INF]]
    path = Tables().compute(network(symmetric(rtts)).weigh(0.0), {})[0].path(1, 4)
    assert path == ((3,), (2,), 0.0)
    # Not where that is much longer.
    rtts[0][2] = rtts[2][0] = 260
    path = Tables().compute(network(symmetric(rtts)).weigh(0.0), {})[0].path(1, 4)
    assert path == ((2, 3), None, 0.0)


def test_data_vouches_sooner_than_time() -> None:
    def surcharge(kbps: float) -> float:
        net = network(triangle(60.0))
        net.weigh(0.0)
        for now, direct in ((40.0, INF), (50.0, 60.0)):
            for record in records(triangle(direct)):
                net.links_heard(
                    LinksRecord(
                        node=record.node,
                        links=[_with(link, kbps) for link in record.links],
                    )
                )
            net.weigh(now)
        state = net.weigh(110.0)
        return float(state.parts.probation[state.index[1], state.index[3]])

    assert surcharge(0.0) > 20.0
    assert surcharge(500.0) == 0.0


def _with(link: LinkState, kbps: float) -> LinkState:
    return LinkState(peer=link.peer, up=link.up, rtt_ms=link.rtt_ms, kbps_out=kbps)


def test_flaps_cost_and_are_forgiven() -> None:
    net = network(triangle(60.0))
    net.weigh(0.0)
    for turn in range(1, 6):
        for direct in (INF, 60.0):
            for record in records(triangle(direct)):
                net.links_heard(record)
            net.weigh(float(turn))
    now = net.weigh(6.0).parts.unsteady[0, 2]
    assert 90.0 < now <= 100.0
    assert net.weigh(6.0 + 1200.0).parts.unsteady[0, 2] < 1.0


def test_a_node_that_loses_two_links_at_once_is_left_before_the_others_are_found_dead() -> None:
    # From 1 to 4 over 2 or, a little longer, over 3. 5 and 6 have links with both.
    def rtts(dead: list[tuple[int, int]]) -> Matrix:
        matrix = np.full((6, 6), INF)
        for relay, rtt in ((2, 10.0), (3, 40.0)):
            for other in (1, 4, 5, 6):
                matrix[relay - 1, other - 1] = matrix[other - 1, relay - 1] = rtt
        for a, b in dead:
            matrix[a - 1, b - 1] = matrix[b - 1, a - 1] = INF
        return matrix

    tables, net = Tables(), network(rtts([]))

    def first(now: float, dead: list[tuple[int, int]]) -> tuple[int, ...]:
        for record in records(rtts(dead)):
            net.links_heard(record)
        found = tables.compute(net.weigh(now), {})[0].path(1, 4)
        assert found is not None
        return found[0]

    assert first(0.0, []) == (2,)
    assert first(10.0, [(2, 5)]) == (2,)
    assert first(11.0, [(2, 5), (2, 6)]) == (3,)
    # It lives: what it lost, it lost for itself.
    assert first(30.0, [(2, 5), (2, 6)]) == (2,)


def test_a_full_link_is_left_while_there_is_another_way() -> None:
    rtts = triangle(60.0)
    net = network(rtts)
    full = LinkState(peer=3, up=True, rtt_ms=60.0, kbps_out=900.0, capacity_kbps=1000)
    near = LinkState(peer=2, up=True, rtt_ms=50.0)
    net.links_heard(LinksRecord(node=1, links=[near, full]))
    state = net.weigh(0.0)
    assert state.parts.use[0, 2] > FULL_MS
    table = Tables().compute(state, {})[0]
    assert table.path(1, 3) == ((2,), (), 0.0)
    back = table.path(3, 1)
    assert back is not None
    assert back[0] == ()  # the other direction is free
    net.node_lost(2)
    only = Tables().compute(net.weigh(1.0), {})[0].path(1, 3)
    assert only is not None
    assert only[0] == ()


def test_loss_and_jitter_count_and_a_stray_packet_does_not() -> None:
    def via(loss: float, jitter: float = 0.0) -> tuple[int, ...]:
        net = network(triangle(100.0))
        links = [
            LinkState(peer=1, up=True, rtt_ms=100.0, residual_loss=loss, jitter_ms=jitter),
            LinkState(peer=2, up=True, rtt_ms=50.0),
        ]
        net.links_heard(LinksRecord(node=3, links=links))
        path = Tables().compute(net.weigh(0.0), {})[0].path(1, 3)
        assert path is not None
        return path[0]

    assert via(0.0) == via(0.002) == ()
    assert via(0.021) == (2,)
    assert via(0.0, jitter=30.0) == (2,)


def test_what_a_link_lost_while_it_was_dead_is_not_held_against_it() -> None:
    net = network(triangle(60.0))

    def cost(now: float, **state: Any) -> float:
        for record in records(triangle(60.0)):
            links = [msgspec.structs.replace(link, **state) for link in record.links]
            net.links_heard(LinksRecord(node=record.node, links=links))
        return float(net.weigh(now).parts.loss[0, 2])

    assert cost(0.0) == 0.0
    for second in range(1, 6):
        assert cost(second, up=False, rtt_ms=None, residual_loss=1.0) == 0.0
    assert cost(7.0, held=True, residual_loss=0.8) == 0.0
    assert cost(12.0, residual_loss=0.0) == 0.0
    assert cost(13.0, residual_loss=0.1) > 0.0


def test_bad_news_at_once_good_news_slowly() -> None:
    damping = Damping()
    net = network(triangle(100.0))
    figures = net.links.figures((1, 2, 3))

    def believed(now: float, ms: float) -> float:
        delay = np.where(np.isfinite(figures.rtt), ms, INF)
        return float(damping.believe(now, figures, delay)[0][0, 2])

    assert believed(0.0, 50.0) == 50.0
    assert believed(1.0, 90.0) == 90.0
    assert 85.0 < believed(2.0, 50.0) < 90.0
    assert believed(200.0, 50.0) < 51.0


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_narrower_set_never_costs_less_and_never_leaves_itself(data: st.DataObject) -> None:
    size = data.draw(st.integers(3, 8))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    rtts = rng.integers(10, 300, (size, size)).astype(float)
    rtts[rng.random(rtts.shape) < 0.2] = INF
    rtts = np.maximum(rtts, rtts.T)
    names = [f"r{rng.integers(4)}" for _ in range(size)]
    net = network(rtts, names)
    wide = data.draw(st.sets(st.sampled_from(["r0", "r1", "r2", "r3"]), min_size=2))
    narrow = data.draw(st.sets(st.sampled_from(sorted(wide)), min_size=1))
    net.sets_heard(RegionSetsRecord(node=1, sets=[sorted(wide), sorted(narrow)]))
    tables = Tables().compute(net.weigh(0.0), net.policies)
    costs = []
    for names_of in (wide, narrow):
        table = tables[region_tag(names_of)]
        costs.append({})
        for source in table.order:
            for to, via, second, _ in table.paths_from(source):
                hops = {source, to, *via, *(second or ())}
                assert {net.region(hop) for hop in hops} <= names_of
                cost = table.firsts.cost[table.index[source], table.index[to]]
                costs[-1][source, to] = cost
    for pair, cost in costs[1].items():
        assert costs[0][pair] <= WORTH * cost


def test_tables_follow_nodes_that_come_and_go() -> None:
    rtts = symmetric([[INF, 50, 300, 60], [50, INF, 50, 70], [300, 50, INF, 80], [60, 70, 80, INF]])
    net, tables = network(rtts), Tables()
    tables.compute(net.weigh(0.0), {})
    net.node_lost(2)
    without = tables.compute(net.weigh(1.0), {})[0]
    assert 2 not in without.order
    path = without.path(1, 3)
    assert path is not None
    assert path[0] == (4,)
    net.node_heard(node(2))
    for record in records(rtts):
        net.links_heard(record)
    path = tables.compute(net.weigh(2.0), {})[0].path(1, 3)
    assert path is not None
    assert path[0] == (2,)  # 100 ms against 140 are worth a move
