"""What grants allow, and what silence in them means."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.policy.grants import Denied, Grants, VideoGrant


def grants(**video: Any) -> Grants:
    return Grants(api_key="key", identity="ann", video=VideoGrant(**video))


def test_silence_allows_publishing_subscribing_and_data() -> None:
    silent = grants()
    assert silent.can_publish
    assert silent.can_subscribe
    assert silent.can_publish_data
    assert not silent.can_update_own_metadata


def test_data_follows_publishing_unless_it_is_said() -> None:
    assert not grants(can_publish=False).can_publish_data
    assert grants(can_publish=False, can_publish_data=True).can_publish_data
    assert not grants(can_publish_data=False).can_publish_data


def test_sources_say_more_than_publishing() -> None:
    some = grants(can_publish=False, can_publish_sources=["camera"])
    assert some.can_publish
    assert some.can_publish_source("camera")
    assert not some.can_publish_source("microphone")
    assert not some.can_publish_source("unknown")
    assert grants().can_publish_source("unknown")


def test_without_a_video_grant_nothing_is_allowed() -> None:
    empty = Grants(api_key="key", identity="ann")
    assert not empty.can_publish
    assert not empty.can_subscribe
    assert not empty.can_publish_data
    for require in (empty.require_join, empty.require_create, empty.require_list):
        with pytest.raises(Denied):
            require()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"video": VideoGrant(room="lobby")}, 401),
        ({"identity": ""}, 400),
        ({"identity": "x" * 257}, 400),
        ({"name": "x" * 257}, 400),
        ({"metadata": "x" * 600_000}, 400),
        ({"attributes": {"k": "x" * 70_000}}, 400),
        ({"video": VideoGrant(room_join=True)}, 400),
        ({"video": VideoGrant(room_join=True, room="x" * 257)}, 400),
    ],
)
def test_joins_that_are_refused(changes: dict[str, Any], status: int) -> None:
    fine = grants(room_join=True, room="lobby")
    assert fine.require_join() == "lobby"
    with pytest.raises(Denied) as refusal:
        fine.replace(**changes).require_join()
    assert refusal.value.status == status


def test_the_api() -> None:
    admin = grants(room_admin=True, room="lobby")
    admin.require_admin("lobby")
    with pytest.raises(Denied) as refusal:
        admin.require_admin("other")
    assert refusal.value.status == 403
    grants(room_create=True).require_create()
    grants(room_list=True).require_list()
    with pytest.raises(Denied):
        admin.require_create()
    with pytest.raises(Denied):
        admin.require_list()


@pytest.mark.parametrize(
    ("kind", "video", "dependent"),
    [
        ("standard", {}, False),
        ("sip", {}, False),
        ("agent", {}, True),
        ("egress", {}, True),
        ("standard", {"recorder": True}, True),
        ("standard", {"agent": True}, True),
    ],
)
def test_who_lives_on_others_account(kind: str, video: dict[str, bool], dependent: bool) -> None:
    assert grants(**video).replace(kind=kind).dependent is dependent
