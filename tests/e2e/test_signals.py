"""What clients are told beside media: how they are connected, whom they may hear, scenarios."""

from __future__ import annotations

import time

import httpx
import pytest
from livekit import api, rtc
from livekit.rtc.room import SimulateScenarioKind

from tests.e2e.conftest import Ends
from tests.e2e.people import Person, joined
from tests.media import chirp

pytestmark = pytest.mark.anyio

EXCELLENT = rtc.ConnectionQuality.QUALITY_EXCELLENT


async def test_quality_is_told_here_and_across_regions(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.track_of("ayu")
        for identity in ("ayu", "ben"):
            await ben.expect(
                "connection_quality_changed",
                lambda who, quality, of=identity: (who.identity, quality) == (of, EXCELLENT),
            )
        told = [arguments[0].identity for name, arguments in ayu.log if "quality" in name]
        assert "ben" not in told, "ayu does not hear ben"


async def test_who_may_hear_whom_across_regions(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        joined(ends.far, room, "eve") as eve,
    ):
        await ayu.say(chirp.JAKARTA)
        for person in (ben, eve):
            await person.hear(await person.track_of("ayu"), chirp.JAKARTA)
        _allow(ayu, only="ben")
        await eve.hears_silence(await eve.track_of("ayu"))
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        _allow(ayu)
        await eve.hear(_latest(eve), chirp.JAKARTA)


def _allow(person: Person, only: str = "") -> None:
    permissions = [rtc.ParticipantTrackPermission(participant_identity=only, allow_all=True)]
    person.me.set_track_subscription_permissions(
        allow_all_participants=not only, participant_permissions=permissions if only else []
    )


async def test_the_server_calls_a_participant_of_another_region(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, httpx.AsyncClient() as http:

        async def greet(call: rtc.RpcInvocationData) -> str:
            if call.payload == "fail":
                raise rtc.RpcError(1600, "not today")
            return f"hello {call.payload}"

        ayu.me.register_rpc_method("greet", greet)

        async def call(**fields: str) -> httpx.Response:
            return await http.post(
                f"{ends.far.http}/twirp/livekit.RoomService/PerformRpc",
                json={"room": room, "destination_identity": "ayu", "method": "greet", **fields},
                headers={"Authorization": f"Bearer {ends.far.admin_token(room)}"},
                timeout=20,
            )

        assert (await call(payload="ben")).json() == {"payload": "hello ben"}
        failed = await call(payload="fail")
        assert failed.status_code == 500
        assert "not today" in failed.json()["msg"]
        assert (await call(method="unheard")).status_code == 501
        assert (await call(destination_identity="nobody")).status_code == 404


async def test_a_removal_revokes_older_tokens_in_every_region(ends: Ends, room: str) -> None:
    old = ends.far.token("ayu", room)
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben"):
        async with ends.far.api() as server:
            request = api.RoomParticipantIdentity(
                room=room, identity="ayu", revoke_token_ts=int(time.time()) + 30
            )
            await server.room.remove_participant(request)
        await ayu.expect("disconnected")
        async with httpx.AsyncClient() as http:
            for edge in (ends.near, ends.far):
                answer = await http.get(
                    f"{edge.http}/rtc/validate", headers={"Authorization": f"Bearer {old}"}
                )
                assert answer.status_code == 401, answer.text
                assert "revoked" in answer.text


async def test_a_simulated_speaker(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu:
        await ayu.room.simulate_scenario(SimulateScenarioKind.SIMULATE_SPEAKER)
        await ayu.expect("active_speakers_changed", lambda who: who and who[0].identity == "ayu")
        await ayu.expect("active_speakers_changed", lambda who: who == [])


async def test_a_simulated_server_leave(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu:
        await ayu.room.simulate_scenario(SimulateScenarioKind.SIMULATE_SERVER_LEAVE)
        await ayu.expect("disconnected")


@pytest.mark.parametrize("scenario", ["NODE_FAILURE", "MIGRATION", "FORCE_TCP"])
async def test_a_simulated_failure_is_survived(ends: Ends, room: str, scenario: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.sees("ben")
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        kind = SimulateScenarioKind.Value(f"SIMULATE_{scenario}")
        await ayu.room.simulate_scenario(kind)
        await ayu.expect("reconnected")
        await ben.until(lambda: _microphone(ben) is not None, "the microphone again")
        await ben.hear(_latest(ben), chirp.JAKARTA)


def _latest(person: Person) -> rtc.RemoteTrack:
    track = _microphone(person)
    assert track is not None
    return track


def _microphone(person: Person) -> rtc.RemoteTrack | None:
    ayu = person.room.remote_participants.get("ayu")
    tracks = [one.track for one in ayu.track_publications.values()] if ayu is not None else []
    return next((track for track in tracks if track is not None), None)
