"""`fairlead routes`: the path between each pair of regions and of each stream, and why."""

from __future__ import annotations

from rich.table import Table

from fairlead.cli import remote
from fairlead.cli.console import out, print_json
from fairlead.lab.view import WorldView


def routes(admin: remote.Admin = None, json: remote.Json = False) -> None:
    """Each path through the running world, the streams on it, and why it is taken."""
    world = remote.get(admin, "state", WorldView)
    if json:
        print_json({"paths": world.paths, "streams": world.streams})
        return
    table = Table("from", "to", "through", "RTT", "second path", "RTT", "why", title="paths")
    for path in world.paths:
        table.add_row(
            path.origin,
            path.to,
            _through(path.via),
            _rtt(path.rtt_ms),
            "none" if path.second is None else _through(path.second),
            _rtt(path.second_rtt_ms),
            path.reason,
        )
    out.print(table)
    if not world.streams:
        out.print("No stream crosses from one region to another now.")
        return
    table = Table(
        "room", "track", "kind", "from", "to", "through", "second", "why", title="streams"
    )
    for stream in world.streams:
        table.add_row(
            stream.room,
            stream.track,
            stream.kind,
            stream.origin,
            stream.to,
            _through(stream.via),
            "none" if stream.second is None else _through(stream.second),
            stream.reason,
        )
    out.print(table)


def _through(via: list[str]) -> str:
    return ", ".join(via) or "direct"


def _rtt(rtt_ms: float | None) -> str:
    return "-" if rtt_ms is None else f"{rtt_ms:.1f} ms"
