"""`fairlead link`: look at a world's long links, and change them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fairlead.cli import quantity, remote
from fairlead.cli.console import out, print_json
from fairlead.lab.change import LinkChange
from fairlead.lab.view import LinkView, WorldView
from fairlead.server.config import Weather

app = typer.Typer(help="Cut, heal, set and list the long links of a world.", no_args_is_help=True)
A = Annotated[str, typer.Argument(help="A region.")]
B = Annotated[str, typer.Argument(help="Another region.")]
For = Annotated[
    str | None, typer.Option("--for", help="Undo it after so long: 10s, 2m.", metavar="TIME")
]


@app.command("cut")
def cut(
    a: A, b: B, lasting: For = None, admin: remote.Admin = None, json: remote.Json = False
) -> None:
    """Lose every packet between two regions, both ways."""
    _change(LinkChange(a=a, b=b, cut=True, for_s=quantity.seconds("--for", lasting)), admin, json)


@app.command("heal")
def heal(a: A, b: B, admin: remote.Admin = None, json: remote.Json = False) -> None:
    """Give the link back the delay and weather that the world began with, and join it."""
    _change(LinkChange(a=a, b=b, heal=True), admin, json)


@app.command("set")
def set_(
    a: A,
    b: B,
    loss: Annotated[str | None, typer.Option(help="Share of packets lost: 5%.")] = None,
    delay: Annotated[str | None, typer.Option(help="One-way delay: 80ms.")] = None,
    jitter: Annotated[str | None, typer.Option(help="How far the delay varies: 5ms.")] = None,
    rate: Annotated[str | None, typer.Option(help="Capacity each way: 2mbps.")] = None,
    lasting: For = None,
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """Change a link's weather, both ways; what is not named stays."""
    change = LinkChange(
        a=a,
        b=b,
        loss=quantity.portion("--loss", loss),
        delay_ms=quantity.milliseconds("--delay", delay),
        jitter_ms=quantity.milliseconds("--jitter", jitter),
        rate_kbps=quantity.kilobits("--rate", rate),
        for_s=quantity.seconds("--for", lasting),
    )
    _change(change, admin, json)


@app.command("list")
def list_(admin: remote.Admin = None, json: remote.Json = False) -> None:
    """Every link: measured, and emulated."""
    world = remote.get(admin, "state", WorldView)
    if json:
        print_json(world.links)
        return
    table = Table("link", "state", "RTT", "jitter", "loss", "after repair", "emulated")
    for link in world.links:
        table.add_row(*_row(link))
    out.print(table)


def _change(change: LinkChange, admin: str | None, json: bool) -> None:
    link = remote.post(admin, "link", LinkView, change)
    if json:
        print_json(link)
        return
    lasting = f", for {change.for_s:g} s" if change.for_s is not None else ""
    out.print(f"{link.a} - {link.b}: {describe(link.emulated)}{lasting}", highlight=False)


def _row(link: LinkView) -> list[str]:
    return [
        f"{link.a} - {link.b}",
        link.state,
        _figure(link.rtt_ms, "{:.1f} ms"),
        _figure(link.jitter_ms, "{:.1f} ms"),
        _figure(link.loss, "{:.2%}"),
        _figure(link.residual_loss, "{:.2%}"),
        describe(link.emulated),
    ]


def describe(weather: Weather) -> str:
    """A link's emulated weather in words."""
    if weather.cut:
        return "cut"
    words = [f"{weather.delay_ms:g} ms one way"]
    if weather.jitter_ms:
        words.append(f"jitter {weather.jitter_ms:g} ms")
    if weather.loss:
        words.append(
            f"loss {weather.loss:.3g}" if weather.loss < 1e-4 else f"loss {weather.loss:.2%}"
        )
    if weather.rate_kbps is not None:
        words.append(f"{weather.rate_kbps} kb/s")
    return ", ".join(words)


def _figure(value: float | None, shape: str) -> str:
    return "-" if value is None else shape.format(value)
