"""One run of a field test: networks, two people, the timeline, and what came of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from fairlead.lab.field import beside, browsers, listening, transcripts, voice
from fairlead.lab.field.aligned import Aligned
from fairlead.lab.field.beside import Call, Couple
from fairlead.lab.field.clips import Sounded, laid_out, sounded
from fairlead.lab.field.clock import until
from fairlead.lab.field.measure import Listened, listened
from fairlead.lab.field.meeting import await_call, invite
from fairlead.lab.field.networks import Networks
from fairlead.lab.field.people import Order, Told
from fairlead.lab.field.priority import children_first
from fairlead.lab.field.process import Person, await_namespace, started
from fairlead.lab.field.scenario import WAYS, Event, Scenario, Way
from fairlead.lab.field.servers import Servers, moved
from fairlead.lab.field.speech import Speech
from fairlead.lab.field.transcripts import Transcriber
from fairlead.lab.field.verdict import Health, cpu_times, health, misses
from fairlead.lab.field.watching import Watched, watched

SDK = [sys.executable, "-m", "fairlead.lab.field.client"]
UNDER_TEST, OTHER = "ayu", "ben"
ENDS: dict[Way, tuple[str, str]] = {"up": (UNDER_TEST, OTHER), "down": (OTHER, UNDER_TEST)}
"""Who speaks and who listens."""
SETTLE_S = 4.0
"""From both hearing each other until it counts: jitter buffers find their size."""
WATCH_S = 0.5
FOLLOW_S, FIRST_S = 0.1, 0.5
TELL_S = 60.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    scenario: str
    server: str = ""
    """Who was under test."""
    seed: int
    began: float
    """Seconds since 1970."""
    ways: dict[Way, Listened]
    """``up``: what the other person heard of the one under test; ``down``: the reverse."""
    seen: dict[Way, Watched] = {}
    """The same of pictures, where any went that way."""
    beside: list[Call] = []
    """The further calls."""
    fairness: dict[Way, float | None] = {}
    """Jain's index of what the pictures of all calls got, once all were there."""
    sound: dict[Way, Sounded] = {}
    """To look at and listen to; a campaign keeps it of one run of each server."""
    health: Health
    complaints: list[str]
    """Why the run is void."""
    misses: dict[Way, list[str]]
    """What is beyond its limits."""
    log: list[tuple[float, str]]
    """What happened: to the networks, and what the clients said of it."""
    traffic: list[tuple[float, str, Way, int]]
    """Each half second: when, and how many packets went through an access one way."""
    packets: dict[str, dict[str, dict[str, int]]]
    """By access and way: delivered, lost and dropped."""
    counters: dict[str, dict[str, int]] = {}
    """Of our own nodes, by region: what they counted meanwhile."""

    @property
    def passed(self) -> bool:
        return not any(self.misses.values())


class _Happened(msgspec.Struct, kw_only=True):
    """What was written down while a run went on."""

    began: float = 0.0
    start: float = 0.0
    """Monotonic, like the end."""
    end: float = 0.0
    log: list[tuple[float, str]] = []
    traffic: list[tuple[float, str, Way, int]] = []
    packets: dict[str, dict[str, dict[str, int]]] = {}
    counters: dict[str, dict[str, int]] = {}
    late_p99_ms: float = 0.0
    stolen: float = 0.0
    """Share of the machine's time."""


async def run(
    scenario: Scenario,
    servers: Servers,
    seed: int,
    folder: Path,
    transcriber: Transcriber | None = None,
) -> Result:
    """Run it once. Raises `RunFailed`, `NoNetworks`, `ConfigError` for a trace."""
    networks = Networks(scenario, seed)
    try:
        async with (
            started(UNDER_TEST, _command(scenario), folder, apart=True) as ayu,
            started(OTHER, SDK, folder, apart=False) as ben,
        ):
            await await_namespace(ayu.pid)
            await networks.give_to(ayu.pid)
            said = voice.written(voice.of(scenario.voice), folder / "voice", scenario.seconds)
            names = (UNDER_TEST, OTHER)
            async with beside.couples(scenario, networks, SDK, names, folder) as more:
                await _meet(scenario, servers, (ayu, ben), said, folder)
                happened = await _watched(scenario, servers, networks, more, said, folder)
                people = [ayu, ben, *(person for couple in more for person in couple.people)]
                for person in people:
                    await person.say(Order(stop=True))
                told = {
                    person.name: await person.hear(Told, TELL_S, "it is done") for person in people
                }
    finally:
        networks.close()
    return await anyio.to_thread.run_sync(
        _judged, scenario, seed, happened, told, more, transcriber
    )


async def _meet(
    scenario: Scenario, servers: Servers, people: tuple[Person, Person], said: Path, folder: Path
) -> None:
    """Have the one under test, who comes first, and the other in a call that has settled."""
    await invite(scenario, servers, people, said, folder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_come_first)
        await await_call(people)
        await anyio.sleep(SETTLE_S)
        tasks.cancel_scope.cancel()


async def _come_first() -> None:
    """Until cancelled: a browser makes sessions of its own, and a jitter buffer that met a starved
    beginning stays long."""
    while True:
        children_first()
        await anyio.sleep(FIRST_S)


async def _watched(
    scenario: Scenario,
    servers: Servers,
    networks: Networks,
    more: list[Couple],
    said: Path,
    folder: Path,
) -> _Happened:
    """Let the timeline run and write down what happens."""
    networks.lateness_ms()
    counted, ticks = await servers.counters(), cpu_times()
    happened = _Happened(began=time.time(), start=time.monotonic())
    start, log = happened.start, happened.log
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, networks, start, happened.traffic)
        tasks.start_soon(_follow, servers, start, log)
        for name, way in networks.traces:
            tasks.start_soon(_replay, networks, name, way, start)
        for couple in more:
            tasks.start_soon(couple.meet, scenario, servers, said, folder, start)
        await _timeline(scenario, networks, servers, start, log)
        tasks.cancel_scope.cancel()
    happened.end = time.monotonic()
    happened.late_p99_ms, after = networks.lateness_ms()[1], cpu_times()
    happened.stolen = (after[1] - ticks[1]) / max(1, after[0] - ticks[0])
    happened.packets = networks.tally()
    happened.counters = moved(counted, await servers.counters())
    return happened


def _judged(
    scenario: Scenario,
    seed: int,
    happened: _Happened,
    told: dict[str, Told],
    more: list[Couple],
    transcriber: Transcriber | None,
) -> Result:
    start = happened.start
    measured = _measured(scenario, told, start, happened.end, transcriber)
    calls = [couple.call(scenario, told, start, happened.end) for couple in more]
    fair = _fairness(scenario, told, more, start, happened.end)
    ways = {way: heard for way, (heard, _, _) in measured.items()}
    views = {way: seen for way, (_, seen, _) in measured.items() if seen is not None}
    well = health(
        scenario,
        list(ways.values()),
        happened.late_p99_ms,
        happened.stolen,
        [*views.values(), *(seen for call in calls for seen in call.seen.values())],
    )
    said = [
        (round(at - start, 2), f"{name}: {text}")
        for name, one in told.items()
        for at, text in one.log
        if at >= start
    ]
    return Result(
        scenario=scenario.name,
        seed=seed,
        began=happened.began,
        ways=ways,
        seen=views,
        beside=calls,
        fairness=fair,
        sound={way: sound for way, (_, _, sound) in measured.items()},
        health=well,
        complaints=well.complaints(),
        misses={
            way: misses(
                scenario,
                getattr(scenario.limits, way),
                ways[way],
                views.get(way),
                fair.get(way),
            )
            for way in WAYS
        },
        log=sorted([*happened.log, *said]),
        traffic=happened.traffic,
        packets=happened.packets,
        counters=happened.counters,
    )


def _fairness(
    scenario: Scenario, told: dict[str, Told], more: list[Couple], start: float, end: float
) -> dict[Way, float | None]:
    """Of all calls, by direction."""
    since = beside.shared_from(scenario)
    if since is None:
        return {}
    couples = [(UNDER_TEST, OTHER), *(tuple(p.name for p in couple.people) for couple in more)]
    found: dict[Way, float | None] = {}
    for way in WAYS:
        if scenario.shows(way):
            ends = couples if way == "up" else [couple[::-1] for couple in couples]
            views = (watched(told[a], told[b], start, end, since) for a, b in ends)
            found[way] = beside.fairness([seen.kbps for seen in views])
    return found


def _measured(
    scenario: Scenario,
    told: dict[str, Told],
    start: float,
    end: float,
    transcriber: Transcriber | None,
) -> dict[Way, tuple[Listened, Watched | None, Sounded]]:
    """What was heard and seen, by direction."""
    found: dict[Way, tuple[Listened, Watched | None, Sounded]] = {}
    events = sorted({event.at for event in scenario.event})
    since = scenario.judged_from
    for way in WAYS:
        speaker, listener = ENDS[way]
        spoken = voice.of(scenario.voice)
        heard = listened(told[speaker], told[listener], start, end, since, spoken)
        whole = laid_out(told[listener], start, end)
        if isinstance(spoken, Speech):
            aligned = Aligned(spoken, told[speaker].began - start, heard, whole)
            heard = msgspec.structs.replace(
                heard,
                listening=listening.scores(aligned, events),
                understood=transcriber and transcripts.understood(transcriber, aligned),
            )
        seen = None
        if scenario.shows(way):
            seen = watched(told[speaker], told[listener], start, end, since, events)
        sound = sounded(whole, min(events, default=None))
        found[way] = heard, seen, sound
    return found


async def _watch(
    networks: Networks, start: float, traffic: list[tuple[float, str, Way, int]]
) -> None:
    """Count what goes through each access until cancelled."""
    before = networks.tally()
    while True:
        await anyio.sleep(WATCH_S)
        now, after = time.monotonic() - start, networks.tally()
        for name, ways in after.items():
            for way in WAYS:
                passed = ways[way]["delivered"] - before[name][way]["delivered"]
                traffic.append((round(now, 2), name, way, passed))
        before = after


async def _replay(networks: Networks, name: str, way: Way, start: float) -> None:
    """Give an access the rates of its trace until cancelled."""
    trace = networks.traces[name, way]
    for step in trace.replayed():
        await until(start + step.at)
        await networks.change(name, way, trace.weather(networks.weather(name, way), step.kbps))


async def _follow(servers: Servers, start: float, log: list[tuple[float, str]]) -> None:
    """Note each change of the way between the two edges until cancelled."""
    before = servers.path()
    while True:
        await anyio.sleep(FOLLOW_S)
        if (path := servers.path()) != before:
            before = path
            log.append((round(time.monotonic() - start, 2), path or "no way is known"))


async def _timeline(
    scenario: Scenario,
    networks: Networks,
    servers: Servers,
    start: float,
    log: list[tuple[float, str]],
) -> None:
    """Let happen what happens, until the end."""
    for event in sorted(scenario.event, key=lambda event: event.at):
        await until(start + event.at)
        log.append((round(time.monotonic() - start, 2), _words(event)))
        if event.link:
            await servers.change_link(event)
            continue
        for way in WAYS:
            if event.way in (way, "both"):
                weather = networks.weather(event.access, way).changed(event)
                await networks.change(event.access, way, weather)
        if event.rebind:
            networks.rebind(event.access)
        if event.present is not None:
            await networks.set_present(event.access, event.present)
    await until(start + scenario.seconds)


def _words(event: Event) -> str:
    """An event in words."""
    said = {
        name: value
        for name in event.__struct_fields__
        if name not in ("at", "access", "link", "way")
        and (value := getattr(event, name)) is not None
    }
    way = "" if event.way == "both" else f" {event.way}"
    where = f"link {'-'.join(event.link)}" if event.link else event.access
    return f"{where}{way}: " + ", ".join(f"{name} {value}" for name, value in said.items())


def _command(scenario: Scenario) -> list[str]:
    """Of the client of the person under test."""
    return browsers.command() if scenario.client == "chromium" else SDK
