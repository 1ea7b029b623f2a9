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


OneWay = Annotated[bool, typer.Option("--one-way", help="Only from A to B.")]
OfPair = Annotated[
    int | None, typer.Option("--pair", help="Only one port pair of the link: 0 to 3.")
]


@app.command("cut")
def cut(
    a: A,
    b: B,
    one_way: OneWay = False,
    pair: OfPair = None,
    lasting: For = None,
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """Lose every packet between two regions, both ways unless --one-way."""
    change = LinkChange(
        a=a,
        b=b,
        one_way=one_way,
        pair=pair,
        cut=True,
        for_s=quantity.seconds("--for", lasting),
    )
    _change(change, admin, json)


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
    one_way: OneWay = False,
    pair: OfPair = None,
    lasting: For = None,
    admin: remote.Admin = None,
    json: remote.Json = False,
) -> None:
    """Change a link's weather, both ways unless --one-way; what is not named stays."""
    change = LinkChange(
        a=a,
        b=b,
        one_way=one_way,
        pair=pair,
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
    table = Table("link", "state", "RTT", "loss, repaired to", "queue", "MTU", "pair", "emulated")
    for link in world.links:
        table.add_row(*_row(link))
    out.print(table)


def _change(change: LinkChange, admin: str | None, json: bool) -> None:
    link = remote.post(admin, "link", LinkView, change)
    if json:
        print_json(link)
        return
    lasting = f", for {change.for_s:g} s" if change.for_s is not None else ""
    out.print(f"{link.a} - {link.b}: {_emulated(link)}{lasting}", highlight=False)


def _row(link: LinkView) -> list[str]:
    return [
        f"{link.a} - {link.b}",
        _state(link),
        _figure(link.rtt_ms, "{:.1f} ms"),
        f"{_figure(link.loss, '{:.2%}')}, {_figure(link.residual_loss, '{:.2%}')}",
        _figure(link.queue_ms, "{:.1f} ms"),
        "-" if link.mtu is None else str(link.mtu),
        _pairs(link),
        _emulated(link),
    ]


def _state(link: LinkView) -> str:
    ends = {"there": f"{link.a} to {link.b}", "back": f"{link.b} to {link.a}", "both": "both ways"}
    return f"{link.state}, {ends[link.fault]}" if link.fault else link.state


def _pairs(link: LinkView) -> str:
    """The port pair in use, and those that do not work."""
    used = ", ".join(str(one.pair) for one in link.pairs if one.in_use)
    sick = ", ".join(f"{one.pair} {one.state}" for one in link.pairs if one.state != "up")
    if not link.pairs:
        return "-"
    return f"{used or '-'} of {len(link.pairs)}" + (f" ({sick})" if sick else "")


def _emulated(link: LinkView) -> str:
    words = [describe(link.emulated)]
    for way in link.differing:
        pair = "" if way.pair is None else f" pair {way.pair}"
        words.append(f"{way.origin} to {way.to}{pair}: {describe(way.emulated)}")
    return "; ".join(words)


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
