"""Links and paths in the words of the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fairlead.cli import app as fairlead
from fairlead.cli import link, remote, routes
from fairlead.lab.view import ControlView, LinkView, PairView, PathView, WayView, WorldView
from fairlead.server.config import Weather


def a_link(**known: object) -> LinkView:
    fields = {
        "a": "jakarta",
        "b": "singapore",
        "state": "up",
        "fault": None,
        "rtt_ms": 17.0,
        "rtt_p95_ms": 18.0,
        "jitter_ms": 0.5,
        "loss": 0.02,
        "residual_loss": 0.0,
        "queue_ms": 1.0,
        "mtu": 1350,
        "pairs": [],
        "emulated": Weather(delay_ms=8),
        "differing": [],
        **known,
    }
    return LinkView(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "fault", "words"),
    [
        ("up", None, "up"),
        ("suspect", "there", "suspect, jakarta to singapore"),
        ("down", "back", "down, singapore to jakarta"),
        ("down", "both", "down, both ways"),
    ],
)
def test_which_way_a_link_fails(state: str, fault: str | None, words: str) -> None:
    assert link._row(a_link(state=state, fault=fault))[1] == words


def test_the_port_pair_in_use_and_those_that_are_sick() -> None:
    pairs = [
        PairView(pair=0, state="down", rtt_ms=None, loss=1.0, in_use=False),
        PairView(pair=1, state="up", rtt_ms=17.0, loss=0.0, in_use=True),
    ]
    assert link._pairs(a_link(pairs=pairs)) == "1 of 2 (0 down)"
    assert link._pairs(a_link()) == "-"


def test_weather_of_one_direction_or_pair_is_told_apart() -> None:
    cut = Weather(cut=True)
    differing = [
        WayView(origin="singapore", to="jakarta", pair=None, emulated=cut),
        WayView(origin="jakarta", to="singapore", pair=2, emulated=cut),
    ]
    assert link._emulated(a_link(differing=differing)) == (
        "8 ms one way; singapore to jakarta: cut; jakarta to singapore pair 2: cut"
    )


def test_routes_say_both_paths_why_and_who_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    path = PathView(
        origin="jakarta",
        to="frankfurt",
        via=["singapore"],
        second=[],
        rtt_ms=171.0,
        second_rtt_ms=202.0,
        regions=[],
        leased=True,
        reason="Via singapore: 31 ms better, direct lost 2.1 %.",
    )
    world = WorldView(
        regions=[],
        links=[],
        paths=[path],
        streams=[],
        control=[
            ControlView(region="jakarta", controller="jakarta", epoch=3),
            ControlView(region="frankfurt", controller=None, epoch=0),
        ],
    )
    monkeypatch.setattr(remote, "get", lambda *_: world)
    told = CliRunner().invoke(fairlead, ["routes"])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0] == ("The controller in jakarta leads, epoch 3. By their own view go frankfurt.")
    assert lines[1] == "jakarta to frankfurt: via singapore, 171 ms; second direct, 202 ms"
    assert lines[2].strip() == path.reason
    assert routes._second(None) == "no second path"
