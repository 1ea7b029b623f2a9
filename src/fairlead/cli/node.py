"""`fairlead node`: what can be done to a world's node."""

from __future__ import annotations

from typing import Annotated

import typer

from fairlead.cli import remote
from fairlead.cli.console import out, print_json

START_S = 60.0
app = typer.Typer(help="Kill a world's node, and start it again.", no_args_is_help=True)


@app.callback()
def nodes() -> None:
    """Kill a world's node, and start it again."""


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


@app.command("start")
def start(
    region: Annotated[str, typer.Argument(help="The region whose node ended.")],
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """Start a region's node again after it was killed; ready when the command ends."""
    started = remote.post(admin, "start", dict[str, str], {"region": region}, START_S)
    if json:
        print_json(started)
    else:
        out.print(f"the node of {region} runs again")
