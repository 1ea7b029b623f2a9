"""Region sets: what is read, what is refused, and that nothing ever widens one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy import regions
from fairlead.policy.regions import EVERYWHERE, NOWHERE, BadRegions, RoomRule

NAMES = ("jakarta", "singapore", "frankfurt", "virginia")
names = st.sampled_from(NAMES)
sets = st.frozensets(names) | st.just(NOWHERE)


def metadata(value: object) -> str:
    return json.dumps({"app": "its own", "fairlead": value})


def test_a_set_is_read_from_metadata() -> None:
    text = metadata({"regions": ["singapore", "jakarta", "jakarta"]})
    assert regions.from_metadata(text) == {"jakarta", "singapore"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a lesson about fairleads",
        '{"topic": "fairlead"}',
        "[1, 2]",
        '"fairlead"',
        "{broken",
        'say "fairlead" {',
        metadata({}),
        "[" * 100_000,
    ],
)
def test_metadata_that_asks_for_nothing_is_the_apps_own(text: str) -> None:
    assert regions.from_metadata(text) == EVERYWHERE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (metadata(None), "must be an object"),
        (metadata(["jakarta"]), "must be an object"),
        (metadata({"region": ["jakarta"]}), "unknown key 'region'"),
        (metadata({"regions": "jakarta"}), "must be a list"),
        (metadata({"regions": None}), "must be a list"),
        (metadata({"regions": []}), "is empty"),
        (metadata({"regions": ["Jakarta"]}), "'Jakarta', which is no region"),
        (metadata({"regions": ["-"]}), "'-', which is no region"),
        (metadata({"regions": [7]}), "7, which is no region"),
        (metadata({"regions": ["x" * 64]}), "which is no region"),
        (metadata({"regions": [f"r{n}" for n in range(65)]}), "65 names: 64 are allowed"),
        ('{"fairlead": {"regions": ["jakarta"]}', "no valid JSON"),
    ],
)
def test_what_speaks_of_us_and_is_wrong_is_refused(text: str, word: str) -> None:
    with pytest.raises(BadRegions, match=r".") as wrong:
        regions.from_metadata(text)
    assert word in str(wrong.value)
    assert len(str(wrong.value)) < 250


def test_tags_are_stable_and_say_which_set() -> None:
    assert regions.region_tag([]) == 0
    tag = regions.region_tag(["jakarta", "singapore"])
    assert tag == regions.region_tag(["singapore", "jakarta", "singapore"]) == 2278873095
    assert regions.region_tag(["ab", "c"]) != regions.region_tag(["a", "bc"])
    assert regions.region_tag(["a\0b"]) != regions.region_tag(["a", "b"])


@given(st.sets(st.text(), min_size=1))
def test_a_set_of_any_names_has_a_tag_of_32_bits(some: set[str]) -> None:
    assert 0 < regions.region_tag(some) < 2**32


@given(st.lists(sets, max_size=5), sets, names)
def test_another_set_never_widens_what_is_allowed(some: list[frozenset[str]], more, region) -> None:  # type: ignore[no-untyped-def]
    before, after = regions.intersect(*some), regions.intersect(*some, more)
    assert regions.within(after, before)
    if regions.allows(after, region):
        assert regions.allows(before, region)
        assert regions.allows(more, region)


@given(st.lists(sets, max_size=5), names)
def test_an_intersection_allows_what_each_allows(some: list[frozenset[str]], region: str) -> None:
    everyone = all(regions.allows(one, region) for one in some)
    assert regions.allows(regions.intersect(*some), region) == everyone


@given(sets, sets, names)
def test_within_says_what_allows_says(inner: frozenset[str], outer: frozenset[str], region) -> None:  # type: ignore[no-untyped-def]
    if regions.within(inner, outer) and regions.allows(inner, region):
        assert regions.allows(outer, region)


patterns = st.sampled_from(["*", "kyc-*", "kyc-1", "KYC-*", "[a-k]yc-?"])
rules = st.builds(RoomRule, match=patterns, regions=sets)


@given(st.lists(rules, max_size=5), rules, st.sampled_from(["kyc-1", "KYC-1", "other"]))
def test_another_rule_never_widens_a_room(some: list[RoomRule], more: RoomRule, room: str) -> None:
    before, after = regions.ruled(some, room), regions.ruled([*some, more], room)
    assert regions.within(after, before)


def test_rules_hold_for_the_rooms_they_match() -> None:
    some = [
        RoomRule(match="kyc-*", regions=frozenset({"jakarta", "singapore"})),
        RoomRule(match="*-jakarta", regions=frozenset({"jakarta"})),
        RoomRule(match="*-virginia", regions=frozenset({"virginia"})),
    ]
    assert regions.ruled(some, "lesson") == EVERYWHERE
    assert regions.ruled(some, "kyc-7") == {"jakarta", "singapore"}
    assert regions.ruled(some, "kyc-jakarta") == {"jakarta"}
    assert regions.ruled(some, "kyc-virginia") == NOWHERE


REGION_OF = {1: "jakarta", 2: "singapore", 3: "frankfurt", 4: "jakarta", 5: ""}


def test_a_table_of_nodes() -> None:
    table = regions.policies([["jakarta"], ["jakarta", "nauru"], [], ["nauru"], NOWHERE], REGION_OF)
    tag = regions.region_tag
    assert table == {
        tag(["jakarta"]): {1, 4},
        tag(["jakarta", "nauru"]): {1, 4},
        tag(["nauru"]): frozenset(),
        tag(NOWHERE): frozenset(),
    }


def test_sets_of_one_tag_allow_what_both_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "region_tag", lambda _: 9)
    assert regions.policies([["jakarta", "singapore"], ["singapore"]], REGION_OF) == {9: {2}}


@given(st.lists(sets, max_size=6), sets)
def test_another_set_never_widens_a_tag(some: list[frozenset[str]], more: frozenset[str]) -> None:
    before = regions.policies(some, REGION_OF)
    after = regions.policies([*some, more], REGION_OF)
    assert all(after[tag] <= before[tag] for tag in before)


def test_words() -> None:
    assert regions.describe([]) == "everywhere"
    assert regions.describe(NOWHERE) == "nowhere"
    assert regions.describe(["jakarta"]) == "jakarta"
    assert regions.describe(["singapore", "jakarta"]) == "jakarta and singapore"
    assert regions.describe(["c", "a", "b"]) == "a, b and c"
