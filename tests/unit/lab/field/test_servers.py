"""What the network says of itself, and that only a world of ours has links to cut."""

from __future__ import annotations

import anyio
import pytest

from fairlead.lab.field.scenario import Event
from fairlead.lab.field.servers import SEEN_COUNTERS, RunFailed, Servers, moved

PEER = Servers(("ws://peer", "ws://peer"), "key", "secret")


def test_counters_that_moved_are_told_the_most_first() -> None:
    before = {"jakarta": {"in": 10, "out": 5, "still": 3}}
    after = {"jakarta": {"in": 15, "out": 105, "still": 3, "new": 1}, "tokyo": {"in": 2}}
    found = moved(before, after)
    assert list(found["jakarta"].items()) == [("out", 100), ("in", 5), ("new", 1)]
    assert found["tokyo"] == {"in": 2}
    many = {"jakarta": {str(n): n for n in range(1, 100)}}
    assert len(moved({}, many)["jakarta"]) == SEEN_COUNTERS


def test_of_another_server_nothing_is_known_and_no_link_can_be_cut() -> None:
    assert PEER.path() == ""
    assert anyio.run(PEER.counters) == {}
    with pytest.raises(RunFailed, match="only a world of ours has links"):
        anyio.run(PEER.change_link, Event(at=1, link=["jakarta", "tokyo"], cut=True))
