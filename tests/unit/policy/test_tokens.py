"""Tokens: what is taken, what is refused, and what a made one says."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from fairlead.policy.grants import Denied, VideoGrant
from fairlead.policy.tokens import LEEWAY, mint, sign, verify

SECRET = "a secret of at least thirty-two bytes"
KEYS = {"key": SECRET, "devkey": "secret"}
NOW = 1_800_000_000.0


def encode(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    payload = {"iss": "key", "sub": "ann", "exp": int(NOW) + 60, "video": {"roomJoin": True}}
    payload.update(claims)
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, secret, algorithm=algorithm)


def test_a_token_of_livekits_own_sdk() -> None:
    token = (
        api.AccessToken("devkey", "secret")
        .with_identity("ann")
        .with_name("Ann")
        .with_metadata("m")
        .with_attributes({"a": "1"})
        .with_kind("agent")
        .with_grants(
            api.VideoGrants(
                room_join=True, room="lobby", can_publish=False, can_publish_sources=["camera"]
            )
        )
        .with_room_config(api.RoomConfiguration(max_participants=3))
        .to_jwt()
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    grants = verify(token, KEYS, claims["exp"] - 10)
    assert (grants.identity, grants.name, grants.metadata) == ("ann", "Ann", "m")
    assert grants.attributes == {"a": "1"}
    assert grants.is_agent
    assert grants.require_join() == "lobby"
    assert grants.can_publish_source("camera")
    assert not grants.can_publish_source("microphone")
    assert "axParticipants" in grants.room_config or "ax_participants" in grants.room_config


def test_what_is_minted_is_taken_by_livekits_own_verifier() -> None:
    video = VideoGrant(room_join=True, room="lobby", can_publish_data=False)
    now = time.time()
    token = mint("key", SECRET, identity="ann", now=now, video=video, name="Ann")
    claims = api.TokenVerifier("key", SECRET).verify(token)
    assert (claims.identity, claims.name) == ("ann", "Ann")
    assert claims.video is not None
    assert (claims.video.room, claims.video.room_join) == ("lobby", True)
    assert claims.video.can_publish_data is False


def test_signing_again_says_the_same() -> None:
    video = VideoGrant(room_join=True, room="lobby", hidden=True, can_publish_sources=["camera"])
    first = verify(mint("key", SECRET, identity="ann", now=NOW, video=video), KEYS, NOW)
    again = verify(sign(first, SECRET, NOW + 100), KEYS, NOW + 100)
    assert again.replace(expires_at=0, not_before=0) == first.replace(expires_at=0, not_before=0)
    assert again.expires_at == first.expires_at + 100


def test_the_clocks_may_differ_by_a_minute() -> None:
    token = encode(exp=int(NOW), nbf=int(NOW))
    assert verify(token, KEYS, NOW + LEEWAY).identity == "ann"
    assert verify(token, KEYS, NOW - LEEWAY).identity == "ann"
    for when in (NOW + LEEWAY + 1, NOW - LEEWAY - 1):
        with pytest.raises(Denied):
            verify(token, KEYS, when)


def test_the_id_stands_in_for_a_subject() -> None:
    assert verify(encode(sub=None, jti="ann"), KEYS, NOW).identity == "ann"


def test_unknown_claims_are_let_go() -> None:
    token = encode(inference={"perform": True}, video={"roomJoin": True, "later": 1}, aud="x")
    assert verify(token, KEYS, NOW).video == VideoGrant(room_join=True)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        "x" * 100_000,
        encode(exp=None),
        encode(exp=int(NOW) - 3600),
        encode(nbf=int(NOW) + 3600),
        encode(secret="another secret of thirty-two bytes!!"),
        encode(iss="nobody"),
        encode(iss=None),
        encode(iss=None) + "x",
        encode(algorithm="HS512"),
        encode(video={"roomJoin": "yes"}),
        encode(video=[]),
        encode(exp="soon"),
        encode(kind="martian"),
        jwt.encode({"iss": "key", "exp": int(NOW) + 60}, "", algorithm="none"),
    ],
)
def test_refusals_are_one_sentence_without_the_token(token: str) -> None:
    with pytest.raises(Denied) as refusal:
        verify(token, KEYS, NOW)
    assert refusal.value.status == 401
    assert len(str(refusal.value)) < 200
    assert not token or token not in str(refusal.value)


@given(st.text())
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(Denied):
        verify(token, KEYS, NOW)
