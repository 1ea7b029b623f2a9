"""What happened in a world, from one look to the next."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from fairlead.lab.news import News
from fairlead.lab.view import LinkView, PathView, WorldView, view
from fairlead.server.config import Weather
from tests.unit.lab.conftest import PlayedWorld


@pytest.fixture
def still(played: PlayedWorld) -> WorldView:
    return view(played)


def with_link(world: WorldView, change: Callable[[LinkView], LinkView]) -> WorldView:
    """The same with its first link (jakarta-singapore) changed."""
    return msgspec.structs.replace(world, links=[change(world.links[0]), *world.links[1:]])


def with_path(world: WorldView, **fields: object) -> WorldView:
    """The same with the path from jakarta to frankfurt changed."""

    def change(path: PathView) -> PathView:
        ends = (path.origin, path.to)
        return msgspec.structs.replace(path, **fields) if ends == ("jakarta", "frankfurt") else path

    return msgspec.structs.replace(world, paths=[change(path) for path in world.paths])


def test_the_first_look_and_a_look_at_the_same_are_no_news(still: WorldView) -> None:
    news = News()
    assert news.look(1.0, None, still) == []
    assert news.look(2.0, 0.1, still) == []


def test_a_cut_cable_and_what_follows(still: WorldView) -> None:
    news = News()
    news.look(1.0, None, still)
    cut = with_link(still, lambda link: msgspec.structs.replace(link, emulated=Weather(cut=True)))
    (first,) = news.look(2.0, 0.01, cut)
    assert (first.kind, first.a, first.b, first.after_ms) == ("cut", "jakarta", "singapore", None)
    suspect = with_link(cut, lambda link: msgspec.structs.replace(link, state="suspect"))
    (second,) = news.look(2.1, 0.1, suspect)
    assert (second.kind, second.after_ms) == ("suspect", 100)
    (third,) = news.look(2.2, 0.2, with_path(suspect, via=[]))
    assert (third.kind, third.a, third.b) == ("moved", "jakarta", "frankfurt")
    assert (third.was, third.via, third.after_ms) == (["singapore"], [], 200)
    healed, up = news.look(12.0, 0.05, still)[:2]
    assert (healed.kind, up.kind) == ("healed", "up")
    assert [one.number for one in news.latest()] == [1, 2, 3, 4, 5, 6]


def test_a_killed_node_and_its_paths(still: WorldView, played: PlayedWorld) -> None:
    news = News()
    news.look(1.0, None, still)
    played.places["singapore"].child.running = False  # type: ignore[misc]
    told = news.look(2.0, 0.3, view(played))
    assert told[0].kind == "killed"
    assert told[0].a == "singapore"
    lost = {(one.a, one.b) for one in told if one.kind == "lost"}
    assert ("jakarta", "singapore") in lost
    assert ("jakarta", "frankfurt") not in lost


def test_a_change_long_ago_is_no_cause(still: WorldView) -> None:
    news = News()
    news.look(1.0, None, still)
    (moved,) = news.look(99.0, None, with_path(still, via=[]))
    assert moved.after_ms is None
