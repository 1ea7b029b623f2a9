"""The largest room that a server holds on this machine with nothing lost: larger and larger ones.

One person speaks; listeners are the load client's, on the same cores, so that what it takes is
taken from the server. A room is held if everyone came in and heard, nothing was lost, and nothing
came later than `fairlead bench` allows.
"""

from __future__ import annotations

import sys

import msgspec

from bench import load
from bench.load import LoadFailed, Server
from bench.row import Row
from fairlead.lab.load.lines import Figures
from fairlead.lab.load.report import complaints, doubts
from fairlead.lab.load.shapes import Shape

SIZES = (100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200)
"""Listeners."""
SECONDS = 5.0


def row(server: Server, peer: Server | None) -> Row:
    """Of our server, and of another in the same run. Raises `LoadFailed`."""
    ours, why = largest(server)
    theirs, their_why = largest(peer) if peer is not None else (None, "")
    note = f"the next one: {why}"
    if peer is not None:
        note += f"; the other server holds {_said(theirs)}, the next one: {their_why}"
    found = {"ours": ours, "peer": theirs}
    return Row(
        what="largest room, one speaks, nothing lost or late",
        value=_said(ours),
        note=note,
        figures={name: msgspec.to_builtins(one) for name, one in found.items() if one is not None},
    )


def largest(server: Server) -> tuple[Figures | None, str]:
    """The figures of the largest room that a server holds, and why it did not hold the next."""
    best: Figures | None = None
    for size in SIZES:
        print(f"a room of {size}: {server.name}", file=sys.stderr)
        shape = Shape(audio_publishers=1, subscribers=size)
        try:
            figures, _ = load.call(shape, server, server, seconds=SECONDS, quiet=0.0)
        except LoadFailed as failure:
            return best, f"{size}: {failure}"
        if why := complaint(figures):
            return best, f"{size}: {why}"
        best = figures
    return best, "there is no larger one in this list"


def complaint(figures: Figures) -> str:
    """Why a room was not held; empty if it was."""
    late = sum(medium.late for medium in figures.media.values())
    found = [*complaints(figures, most_loss=0.0), *doubts(figures)]
    if late:
        found.append(f"{late} packets were late")
    return found[0] if found else ""


def _said(figures: Figures | None) -> str:
    return "none" if figures is None else f"{figures.joined - 1:,} listeners"
