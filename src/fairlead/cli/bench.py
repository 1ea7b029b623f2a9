"""`fairlead bench`: a load generator for any LiveKit-compatible server."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import msgspec
import typer
from rich.console import Console

from fairlead.cli import quantity
from fairlead.cli.console import print_json, tell
from fairlead.cli.failure import FAILED, Failure, failing
from fairlead.cli.remote import Json
from fairlead.lab import worldfile
from fairlead.lab.load import report, shapes
from fairlead.lab.load.lines import Line, Progress
from fairlead.lab.load.process import listener, machine
from fairlead.lab.load.shapes import SHAPES, Shape, ShapeError
from fairlead.lab.load.spec import Target, Timing, Traffic, encode
from fairlead.lab.load.spent import spent
from fairlead.lab.world import WorldFailed, passing
from fairlead.server.config import DEVELOPMENT_KEYS
from fairlead.server.toml import ConfigError

INTERRUPTED = 130
"""128 and SIGINT, as shells have it."""
DEFAULT_SHAPE, DEFAULT_SCALE = "audio-room", 0.01
DEFAULT_REGION = "jakarta"
LONGEST_S = 86_400.0
OPTIONS = {
    "payload_bytes": "--audio-bytes",
    "data_bytes": "--data-bytes",
    "data_per_s": "--data-rate",
    "joins_per_s": "--num-per-second",
    "late_ms": "--late",
    "threads": "--threads",
}
"""By their names in the spec."""
FILES_BESIDE = 200
"""Descriptors that the process needs beside two for each client."""


def bench(
    shape: Annotated[
        str | None,
        typer.Argument(metavar="[SHAPE]", help=f"One of {', '.join(SHAPES)}; see --list."),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="The server, ws://HOST:PORT or wss://HOST. Our own world if absent; "
            "given twice, publishers join the first and subscribers the second."
        ),
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="LIVEKIT_API_KEY", help="API key.")] = "",
    api_secret: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_SECRET", help="Its secret.", show_default=False)
    ] = "",
    regions: Annotated[
        str,
        typer.Option(help="Of our own world: publishers in the first, subscribers in the last."),
    ] = DEFAULT_REGION,
    scale: Annotated[
        float | None, typer.Option(help="Share of the shape's clients: 0.1. 0.01 if absent.")
    ] = None,
    rooms: Annotated[int | None, typer.Option(help="Rooms alike.")] = None,
    audio_publishers: Annotated[int | None, typer.Option(help="In each room.")] = None,
    video_publishers: Annotated[int | None, typer.Option(help="In each room.")] = None,
    data_publishers: Annotated[int | None, typer.Option(help="In each room.")] = None,
    subscribers: Annotated[int | None, typer.Option(help="In each room.")] = None,
    layers: Annotated[int | None, typer.Option(help="Simulcast layers of a video, 1 to 3.")] = None,
    watch: Annotated[
        str | None, typer.Option(help="Quality that subscribers ask for: low, medium, high.")
    ] = None,
    duration: Annotated[str, typer.Option(help="Measured time.")] = "10s",
    quiet: Annotated[str, typer.Option(help="Time in which everyone is in and silent.")] = "0s",
    num_per_second: Annotated[
        float, typer.Option(help="Joins a second; 0 as fast as the server takes them.")
    ] = 0.0,
    data_rate: Annotated[float, typer.Option(help="Messages a second of a data publisher.")] = 10.0,
    data_bytes: Annotated[int, typer.Option(help="Size of a message.")] = 200,
    reliable: Annotated[
        bool, typer.Option("--reliable", help="Data on the reliable channel.")
    ] = False,
    audio_bytes: Annotated[int, typer.Option(help="Payload of an audio packet.")] = 100,
    late: Annotated[str, typer.Option(help="What takes longer is counted as late.")] = "150ms",
    max_loss: Annotated[str, typer.Option(help="More than this is a failure (status 1).")] = "1%",
    threads: Annotated[
        int | None, typer.Option(help="Threads of the load; half of the cores if absent.")
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="The server's process; else who listens at --url here.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Print the shapes and end.")] = False,
    json: Json = False,
) -> None:
    """Load a server with clients that don't decode, and measure what it makes of it.

    Ends with status 1 if a client could not join or was lost, if a subscription heard nothing, or
    if more than --max-loss was lost; with 130 if interrupted, after the results so far.
    """
    if listed:
        for name, one in SHAPES.items():
            typer.echo(f"{name:12} {one.summary}")
        return
    given = {
        "rooms": rooms,
        "audio_publishers": audio_publishers,
        "video_publishers": video_publishers,
        "data_publishers": data_publishers,
        "subscribers": subscribers,
        "layers": layers,
        "watch": watch,
    }
    name, chosen = _shape(
        shape, scale, {key: value for key, value in given.items() if value is not None}
    )
    timing = Timing(
        quiet_s=_seconds("--quiet", quiet),
        measure_s=_seconds("--duration", duration),
        joins_per_s=num_per_second,
    )
    traffic = Traffic(
        payload_bytes=audio_bytes,
        data_bytes=data_bytes,
        data_per_s=data_rate,
        reliable=reliable,
        late_ms=quantity.milliseconds("--late", late) or 0.0,
    )
    most_loss = quantity.portion("--max-loss", max_loss) or 0.0
    if bool(api_key) != bool(api_secret):
        raise Failure("an API key needs its secret: give both --api-key and --api-secret")
    key = (api_key, api_secret) if api_key else next(iter(DEVELOPMENT_KEYS.items()))
    _make_room(chosen.clients)
    # Imported late: the packet path is not needed to read `--help`.
    with failing(ImportError, status=FAILED):
        import fairlead.core  # noqa: F401
    settings = {"timing": timing, "traffic": traffic, "threads": threads or _threads()}
    with failing(WorldFailed, status=FAILED):
        result = anyio.run(_bench, name, chosen, url or [], key, regions, pid, settings)
    _finish(result, most_loss, json)


def _shape(name: str | None, scale: float | None, given: dict[str, Any]) -> tuple[str, Shape]:
    counts = {"audio_publishers", "video_publishers", "data_publishers", "subscribers"}
    if name is None and counts & given.keys():
        if scale is not None:
            raise Failure("--scale is a share of a shape: name one, or leave it out")
        base, name = Shape(), "own shape"
    else:
        name = name or DEFAULT_SHAPE
        if name not in SHAPES:
            raise Failure(f"there is no shape {name!r}; there are {', '.join(SHAPES)}")
        with failing(ShapeError):
            base = shapes.scaled(SHAPES[name], DEFAULT_SCALE if scale is None else scale)
    try:
        chosen = msgspec.convert({**msgspec.structs.asdict(base), **given}, Shape)
    except msgspec.ValidationError:
        raise Failure(f"--watch {given.get('watch')!r} is not low, medium or high") from None
    with failing(ShapeError):
        shapes.check(chosen)
    return name, chosen


def _seconds(option: str, text: str) -> float:
    value = quantity.seconds(option, text) or 0.0
    if value > LONGEST_S:
        raise Failure(f"{option} {text!r} is too long: a day at most")
    return value


def _threads() -> int:
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _make_room(clients: int) -> None:
    """Two descriptors for each client. Raises `Failure`."""
    need = 2 * clients + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and need > hard:
        raise Failure(
            f"{clients} clients need {need} open files and this system allows {hard}: "
            "raise it with `ulimit -Hn`, or use fewer clients"
        )
    if soft != resource.RLIM_INFINITY and need > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


async def _bench(
    name: str,
    shape: Shape,
    urls: list[str],
    key: tuple[str, str],
    regions: str,
    pid: int | None,
    settings: dict[str, Any],
) -> report.Report:
    from fairlead.lab.load import run

    stopping = False

    async def listen(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        nonlocal stopping
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if stopping:
                    raise Failure("interrupted twice: nothing is reported", INTERRUPTED)
                stopping = True
                tell("ending early: what was measured so far follows")

    def hear(line: Line) -> None:
        if isinstance(line, Progress):
            tell(report.progress(line))

    async with anyio.create_task_group() as tasks:
        await tasks.start(listen)
        async with _target(urls, key, regions) as target:
            here = pid or _process(target.urls[-1])
            spec = encode(
                shape,
                target,
                settings["timing"],
                settings["traffic"],
                run=f"bench-{secrets.token_hex(4)}",
                now=time.time(),
                threads=settings["threads"],
            )
            try:
                figures, readings = await run.run(
                    spec, [here] if here else [], hear, lambda: stopping
                )
            except run.LoadFailed as failure:
                raise Failure(_as_options(str(failure)), failure.status) from None
        tasks.cancel_scope.cancel()
    return report.Report(
        name=name,
        shape=shape,
        urls=target.urls,
        figures=figures,
        server=spent(readings[0], figures) if readings else None,
        machine=machine(),
    )


def _as_options(sentence: str) -> str:
    """A sentence about a value of the spec, with the option that it came from."""
    name, space, rest = sentence.partition(" ")
    return f"{OPTIONS.get(name, name)}{space}{rest}"


@asynccontextmanager
async def _target(urls: list[str], key: tuple[str, str], regions: str) -> AsyncIterator[Target]:
    """The servers named, or a world of our own while the block runs."""
    if urls:
        yield Target(urls=urls, key=key[0], secret=key[1])
        return
    with failing(ConfigError):
        spec = worldfile.from_names([name.strip() for name in regions.split(",")])
    tell(f"starting a world of {regions}")
    async with passing(spec, lambda region, line: tell(f"[{region}] {line}")) as world:
        found = [world.place(region.name).url for region in spec.regions]
        yield Target(urls=[found[0], found[-1]], key=world.key, secret=world.secret)


def _process(url: str) -> int | None:
    """The process of ours that listens there, if it is on this machine."""
    address = urlsplit(url)
    with contextlib.suppress(ValueError, OSError):
        if address.hostname in ("localhost", "127.0.0.1", "::1"):
            return listener(address.port or 80)
    return None


def _finish(result: report.Report, most_loss: float, json: bool) -> None:
    if json:
        print_json(result)
    else:
        out = Console() if sys.stdout.isatty() else Console(width=160)
        report.show(result, out)
    for doubt in report.doubts(result.figures):
        tell(f"fairlead: {doubt}")
    if result.figures.interrupted:
        raise typer.Exit(INTERRUPTED)
    found = report.complaints(result.figures, most_loss)
    if found:
        raise Failure("; ".join(found), FAILED)
