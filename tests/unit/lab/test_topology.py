"""Which regions some path of links joins."""

from __future__ import annotations

from fairlead.lab.topology import joined, reachable


def test_two_relays_reach_and_three_do_not() -> None:
    chain = joined([("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")])
    pairs = reachable("abcde", chain)
    assert ("a", "d") in pairs
    assert ("d", "a") in pairs
    assert ("a", "e") not in pairs


def test_islands_stay_apart() -> None:
    pairs = reachable("abcd", joined([("a", "b"), ("c", "d")]))
    assert sorted(pairs) == [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]


def test_nothing_is_joined_to_itself() -> None:
    assert reachable("ab", joined([("a", "b")])) == [("a", "b"), ("b", "a")]
