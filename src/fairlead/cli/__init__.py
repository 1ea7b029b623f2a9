"""The command line: one file a command, errors as one plain sentence, status 2 for bad input."""

from __future__ import annotations

import sys

import typer

from fairlead.cli import bench, lab, link, node, routes, token, up, world
from fairlead.cli.failure import Failure, sole

app = typer.Typer(
    name="fairlead",
    help="Live voice, video and data between countries, for the LiveKit SDKs you already use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("world")(world.world)
app.add_typer(link.app, name="link")
app.add_typer(node.app, name="node")
app.add_typer(lab.app, name="lab")
app.command("bench")(bench.bench)
app.command("routes")(routes.routes)
app.command("token")(token.token)


def main() -> None:
    """Run the command that the arguments name."""
    try:
        app()
    except Failure as failure:
        sys.exit(_tell(failure))
    except BaseExceptionGroup as group:
        error = sole(group)
        if not isinstance(error, Failure):
            raise
        sys.exit(_tell(error))


def _tell(failure: Failure) -> int:
    sys.stderr.write(f"fairlead: {failure}\n")
    return failure.status
