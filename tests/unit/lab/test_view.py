"""A world as people see it, from what its nodes say."""

from __future__ import annotations

import msgspec
import pytest

from fairlead.lab.view import link, view
from fairlead.lab.ways import Way, ways
from fairlead.protocol.node import Link, LinkStateName, Pair
from fairlead.server.config import Weather
from tests.unit.lab.conftest import PlayedWorld


def say(world: PlayedWorld, region: str, towards: str, **known: object) -> None:
    """Let a region's node report other figures of one link."""
    place, node = world.places[region], world.places[towards].node
    assert place.state is not None

    def changed(one: Link) -> Link:
        return msgspec.structs.replace(one, **known) if one.node == node else one

    place.state = msgspec.structs.replace(
        place.state, links=[changed(one) for one in place.state.links]
    )


@pytest.mark.parametrize(
    ("near", "far", "seen"),
    [
        ("up", "up", "up"),
        ("up", "suspect", "suspect"),
        ("suspect", "down", "down"),
        ("up", "connecting", "connecting"),
    ],
)
def test_the_worse_word_of_the_two_ends_counts(
    played: PlayedWorld, near: LinkStateName, far: LinkStateName, seen: str
) -> None:
    say(played, "jakarta", "singapore", state=near)
    say(played, "singapore", "jakarta", state=far)
    assert link(played, ("jakarta", "singapore")).state == seen


@pytest.mark.parametrize(
    ("near", "far", "seen"),
    [
        ("out", None, "there"),
        (None, "in", "there"),
        ("in", "out", "back"),
        ("out", "out", "both"),
        ("both", None, "both"),
        (None, None, None),
    ],
)
def test_which_way_fails(
    played: PlayedWorld, near: str | None, far: str | None, seen: str | None
) -> None:
    say(played, "jakarta", "singapore", state="suspect", fault=near)
    say(played, "singapore", "jakarta", state="suspect", fault=far)
    assert link(played, ("jakarta", "singapore")).fault == seen


def test_port_pairs_of_both_ends(played: PlayedWorld) -> None:
    near = [Pair(pair=0, state="down", rtt_ms=None, loss=1.0)]
    far = [
        Pair(pair=0, state="up", rtt_ms=20.0, loss=0.0),
        Pair(pair=1, state="up", rtt_ms=22.0, loss=0.1),
    ]
    say(played, "jakarta", "singapore", pairs=near, pair=1)
    say(played, "singapore", "jakarta", pairs=far, pair=1)
    first, second = link(played, ("jakarta", "singapore")).pairs
    assert (first.state, first.rtt_ms, first.loss, first.in_use) == ("down", 20.0, 1.0, False)
    assert (second.state, second.in_use) == ("up", True)


def test_weather_that_differs_one_way_or_on_one_pair(played: PlayedWorld) -> None:
    cut = Weather(cut=True)
    played.weather.set(Way("singapore", "jakarta"), cut)
    played.weather.set(Way("jakarta", "singapore", 3), cut)
    seen = link(played, ("jakarta", "singapore"))
    assert not seen.emulated.cut
    assert [(way.origin, way.to, way.pair) for way in seen.differing] == [
        ("singapore", "jakarta", None),
        ("jakarta", "singapore", 3),
    ]
    for way in ways("jakarta", "singapore"):
        played.weather.set(way, cut)
    assert link(played, ("jakarta", "singapore")).differing == []


def test_the_second_path_by_name(played: PlayedWorld) -> None:
    place = played.places["jakarta"]
    assert place.state is not None
    routes = [
        msgspec.structs.replace(route, second=[2], second_rtt_ms=70.0, via=[], leased=True)
        for route in place.state.routes
    ]
    place.state = msgspec.structs.replace(place.state, routes=routes)
    seen = view(played)
    path = next(p for p in seen.paths if (p.origin, p.to) == ("jakarta", "frankfurt"))
    assert (path.via, path.second, path.second_rtt_ms) == ([], ["singapore"], 70.0)
    assert path.leased
    assert seen.streams[0].second == ["singapore"]


def test_a_stream_of_a_limited_room_goes_by_the_path_of_its_set(played: PlayedWorld) -> None:
    place = played.places["jakarta"]
    assert place.state is not None
    home = ["frankfurt", "jakarta"]
    [stream] = place.state.streams
    stream = msgspec.structs.replace(stream, regions=home)
    place.state = msgspec.structs.replace(place.state, streams=[stream])
    [seen] = view(played).streams
    assert (seen.reachable, seen.via, seen.reason) == (False, [], "There is no path to frankfurt.")
    route = next(route for route in place.state.routes if route.destination == 3)
    lawful = msgspec.structs.replace(
        route, regions=home, via=[], reachable=False, sentence="No lawful path."
    )
    routes = [*place.state.routes, lawful]
    place.state = msgspec.structs.replace(place.state, routes=routes)
    [seen] = view(played).streams
    assert (seen.reachable, seen.regions, seen.reason) == (False, home, "No lawful path.")
    assert all(not path.regions for path in view(played).paths)
    routes[-1] = msgspec.structs.replace(lawful, reachable=True)
    [seen] = view(played).streams
    assert (seen.reachable, seen.via) == (True, [])
