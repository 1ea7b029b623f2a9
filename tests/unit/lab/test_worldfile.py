"""Worlds described by names and by files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.lab import worldfile
from fairlead.lab.worldfile import Terms, WorldSpec
from fairlead.server.toml import ConfigError

SCENARIOS = Path(__file__).parents[3] / "scenarios"


def spec_of(tmp_path: Path, text: str, names: list[str] | None = None) -> WorldSpec:
    path = tmp_path / "world.toml"
    path.write_text(text)
    return worldfile.from_file(path, names)


def test_names_make_a_full_mesh_with_half_the_round_trip_each_way() -> None:
    spec = worldfile.from_names(["jakarta", "frankfurt", "us-east-1"])
    assert list(spec.links) == [
        ("jakarta", "frankfurt"),
        ("jakarta", "virginia"),
        ("frankfurt", "virginia"),
    ]
    assert spec.links["jakarta", "frankfurt"].delay_ms == pytest.approx(89.3, abs=0.1)
    assert spec.pair("frankfurt", "jakarta") == ("jakarta", "frankfurt")


def test_a_link_table_changes_one_link(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        'regions = ["jakarta", "singapore", "frankfurt"]\n'
        '[[link]]\na = "frankfurt"\nb = "jakarta"\ncut = true\nloss = "5%"\nrtt_ms = 300\n',
    )
    weather = spec.links["jakarta", "frankfurt"]
    assert (weather.cut, weather.loss, weather.delay_ms) == (True, 0.05, 150)
    assert not spec.links["jakarta", "singapore"].cut


def test_without_links_only_the_named_ones_stand(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        'links = "none"\nregions = ["jakarta", "singapore", "frankfurt"]\n'
        '[[link]]\na = "jakarta"\nb = "singapore"\n',
    )
    assert [pair for pair, weather in spec.links.items() if not weather.cut] == [
        ("jakarta", "singapore")
    ]


def test_a_file_can_name_places_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "rtt.csv").write_text(",mars,moon\nmars,0,2000\nmoon,2200,0\n")
    spec = spec_of(
        tmp_path,
        'matrix = "rtt.csv"\nregions = ["mars", "moon", "luna"]\n'
        '[[region]]\nname = "luna"\nlike = "moon"\nextra_rtt_ms = 4\ncountry = "XX"\n',
    )
    assert spec.links["mars", "moon"].delay_ms == 1050
    assert spec.links["mars", "luna"].delay_ms == 1052
    assert [region.label for region in spec.regions] == ["Mars", "Moon", "Luna"]


def test_what_operators_know(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        'regions = ["jakarta", "singapore", "frankfurt"]\n'
        '[[region]]\nname = "jakarta"\nprovider = "east"\nrelay = false\ncontroller = false\n'
        '[[link]]\na = "singapore"\nb = "jakarta"\nrisks = ["strait"]\nprice_per_gb = 0.5\n'
        "capacity_kbps = 9000\n"
        '[[link]]\na = "jakarta"\nb = "frankfurt"\nloss = 0.1\n',
    )
    jakarta = spec.regions[0]
    assert (jakarta.provider, jakarta.relay, jakarta.controller) == ("east", False, False)
    assert jakarta.latitude is not None, "what is known of it stays"
    assert spec.terms == {
        ("jakarta", "singapore"): Terms(risks=["strait"], price_per_gb=0.5, capacity_kbps=9000)
    }
    assert spec.links["jakarta", "singapore"].rate_kbps is None


def test_fewer_of_its_regions_may_be_started(tmp_path: Path) -> None:
    text = (
        'regions = ["jakarta", "singapore", "frankfurt"]\n'
        '[[link]]\na = "jakarta"\nb = "singapore"\nloss = 0.1\n'
    )
    spec = spec_of(tmp_path, text, ["jakarta", "frankfurt"])
    assert list(spec.links) == [("jakarta", "frankfurt")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('regions = ["jakarta", "atlantis"]', "no region 'atlantis'; known are"),
        ('regions = ["jakarta", "jakarta"]', "names region 'jakarta' twice"),
        ('regions = ["frankfurt", "eu-central-1"]', "names region 'frankfurt' twice"),
        ("", "names 0 regions"),
        ("speed = 1", r"line 1: the file has no key 'speed'; it may have regions, links"),
        ('links = "some"', "links: invalid enum value 'some'; it may be 'all', 'none'"),
        (
            'regions = ["jakarta", "oslo"]\n[[region]]\nname = "oslo"',
            "no round trip is known between jakarta and oslo",
        ),
        (
            'regions = ["jakarta", "tokyo"]\n[[link]]\na = "jakarta"\nb = "milan"',
            "no region 'milan' in this world",
        ),
        (
            'regions = ["jakarta", "tokyo"]\n[[link]]\na = "tokyo"\nb = "tokyo"',
            "'tokyo' has no link to itself",
        ),
        (
            'regions = ["jakarta", "tokyo"]\n[[link]]\na = "tokyo"\nb = "jakarta"\nloss = "lots"',
            "'lots' is not a share: write 5% or 0.05",
        ),
        ('matrix = "absent.csv"\nregions = ["tokyo"]', "matrix: .*absent.csv"),
    ],
)
def test_a_mistake_is_one_plain_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        spec_of(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_can_be_read(path: Path) -> None:
    assert len(worldfile.from_file(path).regions) >= 2


def test_there_are_scenarios() -> None:
    assert len(list(SCENARIOS.glob("*.toml"))) >= 2
