"""Controllers and followers together: takeovers, splits, dead controllers, region sets."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead.policy.regions import region_tag
from fairlead.routing.leader import LEASE, LISTEN
from fairlead.types import NodeRecord
from tests.unit.routing.network import INF, node
from tests.unit.routing.world import World

SETTLED = LISTEN + LEASE + 12.0
REGIONS = ["jakarta", "singapore", "frankfurt", "tokyo", "virginia", "sydney"]


def world(size: int = 5, controllers: tuple[int, ...] = (1, 2), seed: int = 1) -> World:
    rng = np.random.default_rng(seed)
    rtts = rng.integers(20, 200, (size, size)).astype(float)
    rtts = np.minimum(rtts, rtts.T)
    np.fill_diagonal(rtts, INF)
    nodes = [node(n, REGIONS[n - 1], controller=n in controllers) for n in range(1, size + 1)]
    return World(nodes, rtts)


def leased(here: World) -> bool:
    return all(why.leased for member in here.members.values() for why in member.follower.explain())


def test_the_lowest_node_leads_and_everyone_follows() -> None:
    here = world()
    here.pass_time(4)
    assert here.active() == []
    assert not leased(here)
    assert all(len(member.routes) == 4 for member in here.members.values())
    here.pass_time(SETTLED)
    assert here.active() == [1]
    assert leased(here)
    assert {member.follower.epoch for member in here.members.values()} == {1}


def test_a_dead_controller_is_succeeded_and_no_route_moves() -> None:
    here = world()
    here.pass_time(SETTLED)
    before = {n: dict(m.routes) for n, m in here.members.items()}
    here.kill(1)
    here.pass_time(SETTLED)
    assert here.active() == [2]
    assert leased(here)
    for n, member in here.members.items():
        assert member.follower.epoch == 2
        for key, route in member.routes.items():
            if 1 not in before[n][key].via:
                assert route.via == before[n][key].via


def test_a_controller_that_comes_back_goes_beyond_the_epoch_it_forgot() -> None:
    here = world(controllers=(1,))
    here.pass_time(SETTLED)
    for reign in range(2, 4):
        here.kill(1)
        here.pass_time(5)
        here.start(1)
        here.pass_time(SETTLED)
        assert {m.follower.epoch for m in here.members.values()} == {reign}
        assert leased(here)


def test_a_hung_controller_is_succeeded_when_its_lease_ends() -> None:
    here = world()
    here.pass_time(SETTLED)
    hung = here.members[1].controller
    here.members[1].controller = None
    here.pass_time(LEASE + LISTEN + 1)
    assert here.active() == [2]
    here.members[1].controller = hung  # it wakes, still sure that it leads
    here.pass_time(SETTLED)
    assert len(here.active()) == 1
    assert leased(here)


def test_a_split_has_a_controller_on_each_side_and_heals_to_one() -> None:
    here = world()
    here.pass_time(SETTLED)
    here.split({2, 3})
    here.pass_time(SETTLED)
    assert here.active() == [1, 2]
    assert set(here.members[2].routes) == {(0, 3)}
    assert set(here.members[1].routes) == {(0, 4), (0, 5)}
    here.heal()
    here.pass_time(SETTLED)
    assert here.active() == [1]
    assert leased(here)
    assert all(len(member.routes) == 4 for member in here.members.values())


def test_without_any_controller_nodes_route_by_their_own_view() -> None:
    here = world(controllers=())
    here.pass_time(3)
    here.rtts[0, 1] = here.rtts[1, 0] = INF
    here.pass_time(2)
    via = here.way(1, 2)
    assert via
    assert here.works(1, via, 2)


def test_a_lease_outlives_its_controller_and_a_dead_path_of_it_is_left() -> None:
    here = world(controllers=(1,), size=4)
    here.rtts[:] = 50.0
    np.fill_diagonal(here.rtts, INF)
    here.pass_time(SETTLED)
    here.kill(1)
    here.pass_time(60)
    assert here.members[2].follower.explain()[1].leased
    here.rtts[1, 2] = here.rtts[2, 1] = INF
    here.pass_time(2)
    assert here.way(2, 3) == [4]
    why = next(w for w in here.members[2].follower.explain() if w.destination == 3)
    assert not why.leased
    here.pass_time(900)
    assert not any(why.leased for why in here.members[2].follower.explain())


def test_a_dead_link_is_routed_around_within_two_seconds() -> None:
    here = world(size=6)
    here.pass_time(SETTLED)
    here.rtts[2, 3] = here.rtts[3, 2] = INF
    here.pass_time(2)
    for source in here.members:
        for to in here.members:
            if source != to:
                via = here.way(source, to)
                assert via is not None
                assert here.works(source, via, to)
    assert leased(here)


def test_a_room_stays_in_its_regions_or_nowhere() -> None:
    here = world(size=5)
    allowed = ["frankfurt", "jakarta", "singapore"]
    tag = region_tag(allowed)
    here.limit(1, [allowed])
    here.pass_time(SETTLED)
    assert here.members[4].policies == {tag: {1, 2, 3}}
    assert {to for t, to in here.members[1].routes if t == tag} == {2, 3}
    assert not {to for t, to in here.members[4].routes if t == tag}
    here.rtts[0, 1] = here.rtts[1, 0] = INF
    here.pass_time(2)
    assert here.way(1, 2, tag) == [3]
    here.rtts[0, 2] = here.rtts[2, 0] = INF
    here.pass_time(2)
    assert here.way(1, 2, tag) is None  # over 4 or 5 it would go, but may not
    assert here.way(1, 2) is not None
    assert here.violations() == []
    why = next(w for w in here.members[1].follower.explain() if (w.tag, w.destination) == (tag, 2))
    assert why.sentence == (
        "No lawful path to singapore: regions frankfurt, jakarta and singapore do not join "
        "jakarta and singapore."
    )
    outside = next(
        w for w in here.members[4].follower.explain() if (w.tag, w.destination) == (tag, 2)
    )
    assert "tokyo is outside frankfurt, jakarta and singapore" in outside.sentence


def test_a_narrower_set_never_widens_what_may_be_used() -> None:
    here = world(size=6)
    wide, narrow = sorted(REGIONS[:5]), sorted(REGIONS[:3])
    here.limit(2, [wide, narrow])
    here.pass_time(SETTLED)
    for member in here.members.values():
        assert member.policies[region_tag(narrow)] < member.policies[region_tag(wide)]
        for tag, to in member.routes:
            if tag == region_tag(narrow):
                assert (region_tag(wide), to) in member.routes
    here.kill(2)
    here.pass_time(2)
    assert all(member.policies == {} for member in here.members.values())
    assert all(tag == 0 for member in here.members.values() for tag, _ in member.routes)


def test_a_healthy_day_moves_no_route() -> None:
    here = world(size=6)
    here.pass_time(SETTLED)
    rng = np.random.default_rng(7)
    base = here.rtts.copy()
    changes = sum(member.changes for member in here.members.values())
    for _ in range(288):  # a sample each five minutes, with noise, and a stray loss in ten
        noise = np.abs(rng.normal(0.0, 1.0, base.shape))
        here.rtts = base + np.maximum(noise, noise.T)
        here.loss = np.where(rng.random(base.shape) < 0.1, 0.002, 0.0)
        here.pass_time(300, step=300)
    assert sum(member.changes for member in here.members.values()) == changes


class Storms(RuleBasedStateMachine):
    """Anything may fail at any time; what is unlawful never happens, and in the end one leads."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        nodes: list[NodeRecord] = [
            node(n, REGIONS[n - 1], controller=n in (1, 2, 4), relay=n != 5) for n in range(1, 6)
        ]
        rtts = np.random.default_rng(seed).integers(20, 300, (5, 5)).astype(float)
        rtts = np.minimum(rtts, rtts.T)
        np.fill_diagonal(rtts, INF)
        self.base = rtts
        self.here = World(nodes, rtts)
        self.is_split = False

    @rule(seconds=st.sampled_from([1, 3, 10, 40]))
    def wait(self, seconds: int) -> None:
        self.here.pass_time(seconds)

    @rule(a=st.integers(0, 4), b=st.integers(0, 4))
    def cut(self, a: int, b: int) -> None:
        if a != b:
            self.here.rtts[a, b] = self.here.rtts[b, a] = INF

    @rule()
    def mend(self) -> None:
        self.here.rtts = self.base.copy()

    @precondition(lambda self: len(self.here.members) > 2)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.here.kill(data.draw(st.sampled_from(sorted(self.here.members))))

    @rule()
    def restart(self) -> None:
        for gone in self.here.records.keys() - self.here.members.keys():
            self.here.start(gone)

    @precondition(lambda self: not self.is_split)
    @rule(side=st.sets(st.integers(1, 5), min_size=1, max_size=3))
    def split(self, side: set[int]) -> None:
        self.is_split = True
        self.here.split(side)

    @precondition(lambda self: self.is_split)
    @rule()
    def heal(self) -> None:
        self.is_split = False
        self.here.heal()

    @rule(
        data=st.data(),
        sets=st.lists(st.sets(st.sampled_from(REGIONS[:5]), min_size=1), max_size=2),
    )
    def limit(self, data: st.DataObject, sets: list[set[str]]) -> None:
        member = data.draw(st.sampled_from(sorted(self.here.members)))
        self.here.limit(member, [sorted(names) for names in sets])

    @invariant()
    def lawful(self) -> None:
        assert self.here.violations() == []

    def teardown(self) -> None:
        here = self.here
        here.heal()
        here.rtts = self.base.copy()
        for gone in here.records.keys() - here.members.keys():
            here.start(gone)
        here.pass_time(2 * SETTLED)
        assert here.active() == [1]
        assert here.violations() == []
        assert len({member.follower.epoch for member in here.members.values()}) == 1
        for source, member in here.members.items():
            assert all(why.leased for why in member.follower.explain() if why.reachable)
            for to in here.members.keys() - {source}:
                via = here.way(source, to)
                assert via is not None
                assert here.works(source, via, to)


TestStorms = Storms.TestCase
TestStorms.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
