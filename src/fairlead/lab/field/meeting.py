"""Two people brought into one call."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import msgspec

from fairlead.lab.field.people import Orders
from fairlead.lab.field.process import Person
from fairlead.lab.field.scenario import Scenario, Way
from fairlead.lab.field.servers import Servers
from fairlead.policy import tokens
from fairlead.policy.grants import Grants, VideoGrant

HEAR_S = 40.0
TOKEN_TTL_S = 3_600
_OUT: tuple[Way, Way] = ("up", "down")
"""Which way each of the two sends."""


async def invite(
    scenario: Scenario, servers: Servers, people: tuple[Person, Person], said: Path, folder: Path
) -> None:
    """Send two people, of whom the first is behind the networks under test, into a room of their
    own. ``said`` is the file that they speak; recordings go into ``folder``."""
    room = f"lab-{uuid.uuid4().hex[:8]}"
    for person, url, out, back in zip(people, servers.urls, _OUT, _OUT[::-1], strict=True):
        await person.say(
            Orders(
                url=url,
                token=_token(scenario, servers, room, person.name),
                recording=str(folder / person.name),
                shows=scenario.shows(out),
                watches=scenario.shows(back),
                voice=str(said),
                slowdown=scenario.slowdown if person is people[0] else 1.0,
                watchdog=scenario.watchdog and person is people[0],
            )
        )


async def await_call(people: tuple[Person, Person]) -> None:
    """Until both hear each other, and see whom they are to see. Raises `RunFailed`."""
    for person in people:
        await person.hear(dict[str, float], HEAR_S, "both hear and see each other")


def _token(scenario: Scenario, servers: Servers, room: str, identity: str) -> str:
    video = VideoGrant(room_join=True, room=room, can_publish=True, can_subscribe=True)
    grants = Grants(
        api_key=servers.key,
        identity=identity,
        name=identity,
        video=video,
        room_config=_room(scenario),
    )
    return tokens.sign(grants, servers.secret, time.time(), TOKEN_TTL_S)


def _room(scenario: Scenario) -> str:
    """What the room is opened with (RoomConfiguration, as JSON): any server takes metadata."""
    if not scenario.scene:
        return ""
    metadata = msgspec.json.encode({"fairlead": {"scene": scenario.scene}}).decode()
    return msgspec.json.encode({"metadata": metadata}).decode()
