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
    table = Table("from", "to", "through", "RTT", "why", title="paths")
    for path in world.paths:
        rtt = "-" if path.rtt_ms is None else f"{path.rtt_ms:.1f} ms"
        table.add_row(path.origin, path.to, _through(path.via), rtt, path.reason)
    out.print(table)
    if not world.streams:
        out.print("No stream crosses from one region to another now.")
        return
    table = Table("room", "track", "kind", "from", "to", "through", title="streams")
    for stream in world.streams:
        table.add_row(
            stream.room,
            stream.track,
            stream.kind,
            stream.origin,
            stream.to,
            _through(stream.via),
        )
    out.print(table)


def _through(via: list[str]) -> str:
    return ", ".join(via) or "direct"
