"""What a joiner is told of the TURN server."""

from __future__ import annotations

from fairlead.rooms.state.ice_servers import Turn, credentials, ice_servers
from tests.unit.rooms.stage import START, Stage

TURN = Turn(urls=("turn:203.0.113.5:3478?transport=udp",), secret=b"secret", ttl=600)


def test_credentials_are_those_of_the_convention() -> None:
    # The same as in crates/turn/src/tests/life.rs.
    name, password = credentials(b"north", "alice", 1_433_895_918)
    assert name == "1433895918:alice"
    assert password == "RqMvcGPYTJMGThVLSi4amT4zFtI="


def test_a_joiner_is_told_where_turn_is_with_credentials_of_its_own() -> None:
    stage = Stage(turn=TURN)
    [one] = stage.join("ayu").joined.ice_servers
    [other] = stage.join("ben").joined.ice_servers
    assert list(one.urls) == list(TURN.urls)
    expiry, who = one.username.split(":")
    assert int(expiry) == int(START) + 600
    assert who.startswith("PA_")
    assert (one.username, one.credential) == credentials(b"secret", who, int(expiry))
    assert other.username != one.username


def test_without_a_turn_server_nothing_is_told() -> None:
    assert list(Stage().join("ayu").joined.ice_servers) == []
    assert ice_servers(None, "PA_1", START) == []
