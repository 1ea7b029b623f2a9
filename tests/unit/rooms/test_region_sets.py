"""The sets of regions in use: each counted once, told when they change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.regions import EVERYWHERE
from fairlead.rooms.state.region_sets import RegionSets

HOME, AWAY = frozenset({"jakarta", "singapore"}), frozenset({"frankfurt"})


def test_a_set_is_told_once_however_many_rooms_have_it() -> None:
    sets = RegionSets()
    assert sets.news() is None
    sets.hold("a", HOME, HOME)
    assert sets.news() == [["jakarta", "singapore"]]
    sets.hold("b", HOME, AWAY)
    sets.hold("c", EVERYWHERE)
    assert sets.news() == [["frankfurt"], ["jakarta", "singapore"]]
    sets.hold("a")
    assert sets.news() is None
    sets.hold("b", AWAY)
    assert sets.news() == [["frankfurt"]]
    sets.hold("b")
    assert sets.news() == []


some = st.lists(st.sampled_from([EVERYWHERE, HOME, AWAY]), max_size=2)


@given(st.lists(st.tuples(st.sampled_from("abc"), some, st.booleans()), max_size=20))
def test_what_is_told_is_what_rooms_have(changes: list[tuple[str, list, bool]]) -> None:  # type: ignore[type-arg]
    sets, rooms, told = RegionSets(), {}, []  # type: ignore[var-annotated]
    for room, held, listen in changes:
        sets.hold(room, *held)
        rooms[room] = set(held) - {EVERYWHERE}
        used = set().union(*rooms.values())
        assert len(sets) == len(used)
        assert all((regions in sets) == (regions in used) for regions in (EVERYWHERE, HOME, AWAY))
        if listen:
            told = told if (news := sets.news()) is None else news
            assert told == sorted(sorted(regions) for regions in used)
