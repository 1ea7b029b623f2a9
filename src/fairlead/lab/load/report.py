"""What a run comes to: what is wrong with it, and a table for people."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table

from fairlead.lab.load.lines import Figures, Progress, Spread
from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spent import Spent

MOST_BEHIND_MS = 20.0
"""Publishers that send later than this (p99) say that this machine could not keep up."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is written down."""

    name: str
    shape: Shape
    urls: list[str]
    figures: Figures
    server: Spent | None
    """Of the server where subscribers are; None where its process can't be read."""
    machine: dict[str, str | int]


def complaints(figures: Figures, most_loss: float) -> list[str]:
    """Why a run is no success, a sentence each. ``most_loss`` is a share."""
    found = []
    failed, dropped = sum(figures.failed.values()), sum(figures.dropped.values())
    for count, what, reasons in (
        (failed, "could not join", figures.failed),
        (dropped, "were lost", figures.dropped),
    ):
        if count:
            worst = max(reasons, key=lambda reason: reasons[reason])
            found.append(
                f"{count} of {figures.clients} clients {what}, {reasons[worst]} because one {worst}"
            )
    for name, medium in figures.media.items():
        if medium.unheard:
            found.append(
                f"{medium.unheard} of {medium.subscriptions} {name} subscriptions heard nothing"
            )
        if medium.loss > most_loss:
            found.append(f"{medium.loss:.2%} of {name} was lost, {most_loss:.2%} is allowed")
    return found


def doubts(figures: Figures) -> list[str]:
    """What says that the load, not the server, made a figure."""
    if figures.behind_ms.p99 <= MOST_BEHIND_MS:
        return []
    return [
        f"this machine could not keep up: publishers sent {figures.behind_ms.p99:.0f} ms late "
        "(p99), which the delays do not hold; use fewer clients or a larger machine"
    ]


def progress(line: Progress) -> str:
    """A line for standard error."""
    said = f"{line.stage}: {line.joined} of {line.clients} joined"
    if line.failed:
        said += f", {line.failed} failed"
    if line.dropped:
        said += f", {line.dropped} dropped"
    if line.subscriptions:
        said += f"; {line.heard} of {line.subscriptions} subscriptions hear"
    if line.stage == "measuring":
        said += f"; {line.received_per_s:,.0f} packets/s, {line.lost:,} lost, {line.late:,} late"
    return said


def show(report: Report, out: Console) -> None:
    """Print it."""
    figures = report.figures
    partly = ", interrupted" if figures.interrupted else ""
    out.print(
        f"{report.name}: {figures.joined} of {figures.clients} clients, "
        f"{figures.seconds:.1f} s measured{partly}",
        highlight=False,
    )
    out.print(_media(figures))
    out.print(_joins(figures))
    for what, reasons in (("failed to join", figures.failed), ("dropped", figures.dropped)):
        for reason, count in sorted(reasons.items(), key=lambda one: -one[1]):
            out.print(f"{count} {what}: one {reason}", highlight=False, markup=False)
    if report.server is not None:
        out.print(_server(report.server))
    else:
        out.print("the server's process is not known: give --pid to see what it spends")


def _media(figures: Figures) -> Table:
    table = Table(box=None)
    table.add_column("media")
    for name in ("sent", "received", "a second", "lost", "", "late", "twice", "heard by"):
        table.add_column(name, justify="right")
    for name in ("delay p50", "p95", "p99", "max, ms"):
        table.add_column(name, justify="right")
    for name, one in figures.media.items():
        heard = one.subscriptions - one.unheard
        table.add_row(
            name,
            f"{one.sent:,}",
            f"{one.received:,}",
            f"{one.received / max(figures.seconds, 1e-3):,.0f}",
            f"{one.lost:,}",
            f"{one.loss:.3%}",
            f"{one.late:,}",
            f"{one.duplicates:,}",
            f"{heard:,} of {one.subscriptions:,}",
            *_spread(one.delay_ms),
        )
    return table


def _joins(figures: Figures) -> Table:
    table = Table(box=None)
    table.add_column("joins")
    for name in ("p50", "p95", "p99", "max, ms", "a second"):
        table.add_column(name, justify="right")
    rate = f"{figures.joins_per_s:.0f}"
    table.add_row("media connected", *_spread(figures.join_ms), rate)
    table.add_row("join answered", *_spread(figures.signal_ms), "")
    return table


def _server(spent: Spent) -> Table:
    table = Table(box=None)
    for name in ("server: cores", "CPU us a packet", "packets a core-second", "memory MiB"):
        table.add_column(name, justify="right")
    for name in ("MiB a participant", "KiB a subscription"):
        table.add_column(name, justify="right")
    table.add_row(
        f"{spent.cores:.2f}",
        f"{spent.us_per_packet:.1f}",
        f"{spent.packets_per_core_second:,.0f}",
        f"{spent.memory_mib:.0f}",
        f"{spent.mib_per_participant:.2f}",
        f"{spent.kib_per_subscription:.1f}",
    )
    return table


def _spread(spread: Spread) -> list[str]:
    return [f"{value:.1f}" for value in (spread.p50, spread.p95, spread.p99, spread.max)]
