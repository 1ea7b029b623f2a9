"""`fairlead routes`: the path between each pair of regions, and why."""

from __future__ import annotations

from rich.table import Table

from fairlead.cli import remote
from fairlead.cli.console import out, print_json
from fairlead.lab.view import WorldView


def routes(admin: remote.Admin = None, json: remote.Json = False) -> None:
    """Each path that streams take through the running world, and why."""
    world = remote.get(admin, "state", WorldView)
    if json:
        print_json(world.paths)
        return
    table = Table("from", "to", "through", "RTT", "why")
    for path in world.paths:
        table.add_row(
            path.origin,
            path.to,
            ", ".join(path.via) or "direct",
            "-" if path.rtt_ms is None else f"{path.rtt_ms:.1f} ms",
            path.reason,
        )
    out.print(table)
