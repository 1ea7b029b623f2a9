"""`fairlead node`: what can be done to a world's node."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from fairlead.cli import remote
from fairlead.cli.console import out, print_json, tell
from fairlead.cli.failure import FAILED, Failure
from fairlead.server.state import DrainState

START_S = 60.0
LOOK_S = 0.5
app = typer.Typer(help="Kill a world's node, start it again, empty it.", no_args_is_help=True)


@app.callback()
def nodes() -> None:
    """Kill a world's node, start it again, empty it."""


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


@app.command("drain")
def drain(
    region: Annotated[str, typer.Argument(help="The region whose node is to be emptied.")],
    rate: Annotated[float, typer.Option(help="Sessions a second that are sent away.")] = 20.0,
    undo: Annotated[bool, typer.Option("--undo", help="Take new sessions again.")] = False,
    within: Annotated[float, typer.Option(help="Seconds to wait for the last one.")] = 300.0,
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """Take no new sessions and send everyone elsewhere, a batch at a time."""
    wish = {"region": region, "on": not undo, "rate": rate}
    state = remote.post(admin, "drain", DrainState, wish)
    end = time.monotonic() + within
    told = -1
    while state.draining and state.left:
        if time.monotonic() > end:
            raise Failure(
                f"{state.left} sessions are left in {region} after {within:.0f} s: "
                "it goes on draining, ask again",
                FAILED,
            )
        if not json and state.moved != told:
            told = state.moved
            tell(f"{region}: {told} sent away, {state.left} left")
        time.sleep(LOOK_S)
        state = remote.post(admin, "drain", DrainState, wish)
    if json:
        print_json(state)
    elif undo:
        out.print(f"the node of {region} takes new sessions")
    else:
        out.print(f"the node of {region} is drained: {state.moved} were sent away")


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
