"""`fairlead routes`: both paths of each pair of regions and of each stream, and why."""

from __future__ import annotations

from fairlead.cli import remote
from fairlead.cli.console import out, print_json
from fairlead.lab.view import WorldView


def routes(admin: remote.Admin = None, json: remote.Json = False) -> None:
    """Each path through the running world, the streams on it, and why it is taken."""
    world = remote.get(admin, "state", WorldView)
    if json:
        print_json({"paths": world.paths, "streams": world.streams, "control": world.control})
        return
    if world.control:
        out.print(_control(world), highlight=False, markup=False, soft_wrap=True)
    for path in world.paths:
        _say(
            f"{path.origin} to {path.to}{_within(path.regions)}: "
            f"{_way(path.via, path.rtt_ms)}; {_second(path.second, path.second_rtt_ms)}",
            path.reason,
        )
    if not world.streams:
        out.print("No stream crosses from one region to another now.")
        return
    out.print("Streams:")
    for stream in world.streams:
        way = f"{_way(stream.via)}; {_second(stream.second)}" if stream.reachable else "no path"
        _say(
            f"{stream.room} {stream.kind} {stream.track}, {stream.origin} to {stream.to}"
            f"{_within(stream.regions)}: {way}",
            stream.reason,
        )


def _control(world: WorldView) -> str:
    """Who leads, in a sentence or two."""
    obeyed = {(one.controller, one.epoch) for one in world.control if one.controller}
    own = [one.region for one in world.control if one.controller is None]
    words = [
        f"The controller in {controller} leads, epoch {epoch}."
        for controller, epoch in sorted(obeyed)
    ]
    if own:
        words.append(f"By their own view go {', '.join(own)}.")
    return " ".join(words)


def _say(what: str, why: str) -> None:
    """A line, and the sentence below it; no line breaks, a terminal wraps by itself."""
    out.print(what, highlight=False, markup=False, soft_wrap=True)
    out.print(f"    {why}", highlight=False, markup=False, soft_wrap=True, style="dim")


def _within(regions: list[str]) -> str:
    return f" (within {', '.join(regions)})" if regions else ""


def _way(via: list[str], rtt_ms: float | None = None) -> str:
    words = f"via {' and '.join(via)}" if via else "direct"
    return words if rtt_ms is None else f"{words}, {rtt_ms:.0f} ms"


def _second(via: list[str] | None, rtt_ms: float | None = None) -> str:
    return "no second path" if via is None else f"second {_way(via, rtt_ms)}"
