"""`fairlead world`: several regions on this machine, joined by emulated long links."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

import anyio
import typer
from rich.table import Table

from fairlead.cli import remote
from fairlead.cli.console import out, print_json, tell
from fairlead.cli.failure import FAILED, Failure, failing
from fairlead.lab import demo as demos
from fairlead.lab import ports, regions, worldfile
from fairlead.lab.admin import admin_app, new_secret
from fairlead.lab.leftovers import new_store
from fairlead.lab.news import News
from fairlead.lab.ports import NoPorts
from fairlead.lab.web import serving
from fairlead.lab.world import World, WorldFailed, running
from fairlead.lab.worldfile import WorldSpec
from fairlead.server.config import LogSection
from fairlead.server.toml import ConfigError

LogLevel = Literal["debug", "info", "warning", "error"]


def world(
    names: Annotated[
        str, typer.Option("--regions", help="Region names, with commas between.", metavar="A,B,C")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(help="World file: regions, links, weather (docs/world-file.md).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="First node's port, the next ones 10 apart; else any free.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Serve the demo page as well.")] = False,
    demo_port: Annotated[int, typer.Option(help="Port of the demo page.")] = demos.PORT,
    log_level: Annotated[LogLevel, typer.Option(help="What the nodes log.")] = "warning",
    json: remote.Json = False,
) -> None:
    """Run a world until interrupted. With --json, one line says when it is ready."""
    with failing(ConfigError):
        chosen = [name.strip() for name in names.split(",") if name.strip()]
        if file is not None:
            spec = worldfile.from_file(file, chosen or None)
        else:
            spec = worldfile.from_names(chosen or list(regions.DEFAULT))
        pages = demos.find_pages() if demo else None
    with failing(WorldFailed, NoPorts, status=FAILED):
        anyio.run(_run, spec, port, pages, demo_port, LogSection(level=log_level), json)


async def _run(
    spec: WorldSpec,
    port: int | None,
    pages: Path | None,
    demo_port: int,
    log: LogSection,
    json: bool,
) -> None:
    news = News()
    with new_store() as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_on_signal, tasks.cancel_scope)
            async with (
                running(
                    spec,
                    store,
                    base_port=port,
                    log=log,
                    tell=tell,
                    say=lambda name, line: tell(f"[{name}] {line}"),
                    hear=news.hear,
                ) as running_world,
                _admin(running_world) as admin,
                _demo(running_world, pages, demo_port, news) as page,
            ):
                _announce(running_world, admin, page, json)
                await anyio.sleep_forever()


async def _end_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


@asynccontextmanager
async def _admin(world: World) -> AsyncIterator[str]:
    secret = new_secret()
    async with anyio.create_task_group() as tasks:
        async with serving(admin_app(world, secret, tasks), ports.one()) as port:
            address = f"http://127.0.0.1:{port}/{secret}"
            remote.leave_note(address)
            try:
                yield address
            finally:
                remote.take_note_back()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _demo(
    world: World, pages: Path | None, port: int, news: News
) -> AsyncIterator[str | None]:
    if pages is None:
        yield None
        return
    async with anyio.create_task_group() as tasks:
        try:
            async with serving(demos.demo_app(world, pages, tasks, news), port) as port:
                yield f"http://localhost:{port}"
        except OSError as error:
            raise Failure(
                f"the demo page can't be served at port {port} ({error.strerror}): "
                "give another --demo-port"
            ) from None
        tasks.cancel_scope.cancel()


def _announce(world: World, admin: str, page: str | None, json: bool) -> None:
    if json:
        print_json(
            {
                "api_key": world.key,
                "api_secret": world.secret,
                "nodes": [
                    {"region": place.name, "url": place.url} for place in world.places.values()
                ],
                "admin": admin,
            }
        )
        return
    table = Table("region", "url", "round trips")
    for place in world.places.values():
        table.add_row(place.name, place.url, _round_trips(world, place.name))
    out.print(table)
    out.print(f"API key {world.key}, secret {world.secret}", highlight=False)
    if page:
        out.print(f"\nOpen {page} in a browser.", highlight=False)
    out.print("Ctrl-C ends the world.", highlight=False)


def _round_trips(world: World, name: str) -> str:
    trips = []
    for (a, b), weather in world.spec.links.items():
        if name in (a, b):
            other = b if name == a else a
            trips.append(f"{other} {'cut' if weather.cut else f'{2 * weather.delay_ms:.0f} ms'}")
    return ", ".join(trips)
