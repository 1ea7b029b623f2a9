"""A campaign repeats what is void, goes on where it was interrupted, and survives what fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from fairlead.lab.field import campaign, scenario
from fairlead.lab.field.campaign import Campaign, Contender, Results
from fairlead.lab.field.run import Result
from fairlead.lab.field.scenario import Scenario
from fairlead.lab.field.servers import RunFailed, Servers
from fairlead.lab.field.verdict import Health
from fairlead.server.toml import ConfigError

ONE = scenario.parse('summary = "."\nseconds = 16\naccess.wifi = {}', "one")
TWO = msgspec.structs.replace(ONE, name="two")
OURS, PEER = Contender("Fairlead"), Contender("ws://peer", "ws://peer", "peer")


def result(name: str, seed: int, void: bool = False, server: str = "") -> Result:
    return Result(
        scenario=name,
        server=server,
        seed=seed,
        began=0.0,
        ways={},
        health=Health(late_p99_ms=0, steal=0, clock=1, spread_ms=0, swallowed_before=0),
        complaints=["the host"] if void else [],
        misses={"up": [], "down": []},
        log=[],
        traffic=[],
        packets={},
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was run: scenario and seed; seed 1 is void, and a scenario called "bad" fails."""
    found: list[tuple[str, int]] = []

    async def run(one: Scenario, servers: Servers, seed: int, folder: Path, _: object) -> Result:
        assert folder.is_dir()
        found.append((one.name, seed))
        if one.name == "bad":
            raise RunFailed("ayu ended in the middle of the run")
        return result(one.name, seed, void=seed == 1)

    @asynccontextmanager
    async def servers(*_: object) -> AsyncIterator[Servers]:
        async with anyio.create_task_group():  # as a world has one: what fails comes in a group
            yield Servers(("", ""), "", "")

    monkeypatch.setattr(campaign, "run", run)
    monkeypatch.setattr(campaign, "_servers", servers)
    return found


def go(what: Campaign, results: Results, said: list[str] | None = None) -> int:
    kept: list[int] = []
    tell = [].append if said is None else said.append
    anyio.run(what.go_on, results, tell, lambda: kept.append(1))
    return len(kept)


def test_void_runs_are_repeated_and_all_are_kept(ran: list[tuple[str, int]]) -> None:
    results: Results = {}
    assert go(Campaign({"one": ONE}, [OURS, PEER], repeats=2), results) == 6
    assert ran == 2 * [("one", 1), ("one", 2), ("one", 3)]
    assert [run.server for run in results["one"]] == 3 * ["Fairlead"] + 3 * ["ws://peer"]


def test_it_goes_on_where_it_was_interrupted(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert campaign.kept(file) == {}
    done = result("one", 2, server="Fairlead")
    campaign.keep(file, {"one": [result("one", 1, void=True, server="Fairlead"), done]})
    results = campaign.kept(file)
    go(Campaign({"one": ONE, "two": TWO}, [OURS], repeats=2), results)
    assert ran == [("one", 3), ("two", 1), ("two", 2), ("two", 3)]
    assert results["one"][1] == done
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_campaign_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"one": 3}')
    with pytest.raises(ConfigError, match="holds no results to go on from"):
        campaign.kept(file)


def test_one_that_fails_keeps_no_other_from_running(ran: list[tuple[str, int]]) -> None:
    said: list[str] = []
    bad = msgspec.structs.replace(ONE, name="bad")
    results: Results = {}
    go(Campaign({"bad": bad, "two": TWO}, [OURS]), results, said)
    assert said[0] == "bad, Fairlead: ayu ended in the middle of the run"
    assert ran == [("bad", 1), ("two", 1), ("two", 2)]
    assert results["bad"] == []


def test_three_void_runs_are_enough(
    ran: list[tuple[str, int]],
) -> None:
    results: Results = {"one": [result("one", 1, True, "Fairlead") for _ in range(3)]}
    assert go(Campaign({"one": ONE}, [OURS]), results) == 0
    assert go(Campaign({"one": ONE}, [OURS], tries=4), results) == 1
