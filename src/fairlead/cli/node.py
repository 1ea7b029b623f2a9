"""`fairlead node`: what can be done to a world's node."""

from __future__ import annotations

from typing import Annotated

import typer

from fairlead.cli import remote
from fairlead.cli.console import out, print_json

app = typer.Typer(help="Kill a world's node.", no_args_is_help=True)


@app.callback()
def nodes() -> None:
    """Kill a world's node."""


@app.command("kill")
def kill(
    region: Annotated[str, typer.Argument(help="The region whose node ends.")],
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """End a region's node at once, as a power cut would."""
    ended = remote.post(admin, "kill", dict[str, str], {"region": region})
    if json:
        print_json(ended)
    else:
        out.print(f"the node of {region} was killed")
