"""Access networks for a process: TUN devices in its network namespace, joined by the emulator.

All of it lives in a namespace of the lab's own, made before anything else, so that nothing of it
can touch the machine's network or outlive the lab. Each access has an address, a routing table
and a rule by source of its own, and what comes with another's source address is refused (BCP 38):
else a dead access would go on sending through a live one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec

from fairlead.core import AccessNetwork
from fairlead.lab.field import traces
from fairlead.lab.field.priority import come_first
from fairlead.lab.field.scenario import WAYS, Scenario, Way, Weather
from fairlead.lab.field.traces import Trace

HOST = "10.98.0.1"
"""Where servers listen in the lab's namespace."""
PUBLIC = "203.0.113.1"
"""Where ours does if clients reach it at port 443 alone (RFC 5737): libwebrtc takes no candidate
at that port of a private address."""
SERVICE = "srv0"
"""The idle device that has these addresses: servers pass over what loopback has."""
INSIDE = "FAIRLEAD_LAB_INSIDE"
"""Set where the lab runs in its own namespace."""
TOOLS = ("ip", "nsenter", "sysctl", "unshare")
FIRST_TABLE = 100
DEVICES = {"wifi": "wlan0", "lte": "wwan0"}
"""Interfaces, as Linux names them. The SDK tells Wi-Fi by its name and prefers it; Chromium takes
these for two of a kind and prefers the first in the alphabet."""


class NoNetworks(Exception):
    """This machine does not let the lab make networks; a sentence."""


def enter(arguments: Sequence[str], module: str = "fairlead.cli") -> None:
    """Begin anew in a network namespace of our own; returns if this process is in it already.

    ``arguments`` are those of the module that runs. Raises `NoNetworks`.
    """
    if os.environ.get(INSIDE) == "1":
        _prepare()
        return
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        packages = "iproute2, procps and util-linux"
        raise NoNetworks(f"{', '.join(missing)} can't be found: install {packages}")
    if not Path("/dev/net/tun").exists():
        raise NoNetworks("there is no /dev/net/tun: load the kernel's tun module")
    tried = subprocess.run([*unshare(), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NoNetworks(
            f"no network namespace can be made ({tried.stderr.strip()}): "
            "run as root, or allow user namespaces"
        )
    again = [*unshare(), "--", sys.executable, "-m", module, *arguments]
    os.execvpe(again[0], again, {**os.environ, INSIDE: "1"})


def unshare() -> list[str]:
    """What begins a command that is to run in a network namespace of its own."""
    return ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def within(pid: int) -> list[str]:
    """What begins a command that is to run in the network namespace of a process."""
    return ["nsenter", "--target", str(pid), "--net"]


def _prepare() -> None:
    # Whoever ends us otherwise than by Ctrl-C is to find nothing left behind either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    come_first()
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "tuntap", "add", SERVICE, "mode", "tun"],
        *(["ip", "address", "add", f"{own}/32", "dev", SERVICE] for own in (HOST, PUBLIC)),
        ["ip", "link", "set", SERVICE, "up"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoNetworks(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


@dataclass
class _Link:
    """Two devices and an address at each."""

    link: int
    """Its number with the emulator."""
    number: int

    @property
    def ends(self) -> tuple[str, str]:
        return _ends(self.number)

    @property
    def outer(self) -> str:
        return f"10.98.{self.number}.1"

    @property
    def inner(self) -> str:
        return f"10.98.{self.number}.2"


@dataclass
class _Access(_Link):
    name: str
    present: bool
    weather: dict[Way, Weather]

    @property
    def device(self) -> str:
        """Its interface."""
        return DEVICES.get(self.name, f"{self.name}0")


class Networks:
    """The access networks of a scenario, for one process. Raises `ConfigError` for a trace that
    can't be read."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._emulator = AccessNetwork(seed)
        self._accesses: dict[str, _Access] = {}
        self.traces: dict[tuple[str, Way], Trace] = {}
        """By access and way: what is to be replayed."""
        self._pid = 0
        self._led = 0
        for number, (name, access) in enumerate(scenario.access.items(), start=1):
            link = self._emulator.add_link(*_ends(number))
            both = Weather().changed(access)
            weather = {way: both.changed(getattr(access, way)) for way in WAYS}
            for way in WAYS:
                if path := access.trace if way == "down" else access.trace_up:
                    trace = traces.read(Path(path))
                    self.traces[name, way] = trace
                    weather[way] = trace.weather(weather[way], trace.steps[0].kbps)
            self._accesses[name] = _Access(link, number, name, access.present, weather)
            self._emulator.filter(link, udp=access.udp, tcp_ports=access.tcp_ports)
            for way in WAYS:
                self._apply(name, way)

    async def give_to(self, pid: int) -> None:
        """Move the devices into the namespace of a process. Raises `NoNetworks`."""
        self._pid = pid
        await self._inside("ip", "link", "set", "lo", "up")
        await self._inside("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for access in self._accesses.values():
            inside, outside = access.ends
            await _run("ip", "link", "set", inside, "netns", str(pid))
            await self._inside("ip", "link", "set", inside, "name", access.device)
            await self._inside(
                "ip", "rule", "add", "from", access.inner, "lookup", str(_table(access))
            )
            await _run("sysctl", "-qw", f"net.ipv4.conf.{outside}.rp_filter=1")
            await _run("ip", "address", "add", f"{access.outer}/30", "dev", outside)
            await _run("ip", "link", "set", outside, "up")
            if access.present:
                await self._appear(access)

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command, to run where the devices are."""
        return [*within(self._pid), *command]

    async def lead_to(self, pid: int, delay_ms: float) -> None:
        """Let another process in a namespace of its own reach these networks, that much (one way)
        behind them. Raises `NoNetworks`."""
        self._led += 1
        number = len(self._accesses) + self._led
        link = _Link(self._emulator.add_link(*_ends(number)), number)
        for way in WAYS:
            self._emulator.set(link.link, way, **msgspec.structs.asdict(Weather(delay_ms=delay_ms)))
        end, begin = link.ends
        await _run("ip", "link", "set", begin, "netns", str(self._pid))
        await _run("ip", "link", "set", end, "netns", str(pid))
        # What is for it takes the first access, as does what it sends.
        _, outside = next(iter(self._accesses.values())).ends
        await _run("ip", "route", "add", f"{link.inner}/32", "dev", outside)
        for command in (
            ("sysctl", "-qw", "net.ipv4.ip_forward=1"),
            ("ip", "address", "add", f"{link.outer}/30", "dev", begin),
            ("ip", "link", "set", begin, "up"),
        ):
            await self._inside(*command)
        for command in (
            ("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"),
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{link.inner}/30", "dev", end),
            ("ip", "link", "set", end, "up"),
            ("ip", "route", "add", "default", "via", link.outer),
        ):
            await _run(*within(pid), *command)

    async def change(self, name: str, way: Way, weather: Weather) -> None:
        """From now on."""
        self._accesses[name].weather[way] = weather
        self._apply(name, way)

    def weather(self, name: str, way: Way) -> Weather:
        """What an access does now."""
        return self._accesses[name].weather[way]

    async def set_present(self, name: str, present: bool) -> None:
        """The interface appears with its address, or goes with it. Raises `NoNetworks`."""
        access = self._accesses[name]
        if access.present == present:
            return
        access.present = present
        if present:
            await self._appear(access)
        else:
            await self._inside("ip", "address", "flush", "dev", access.device)
            await self._inside("ip", "link", "set", access.device, "down")

    def rebind(self, name: str) -> None:
        """The NAT of an access gives every UDP flow another port."""
        self._emulator.rebind(self._accesses[name].link)

    def tally(self) -> dict[str, dict[str, dict[str, int]]]:
        """By access and way: packets delivered, lost and dropped at the queue."""
        return {
            name: {way: self._emulator.tally(access.link, way) for way in WAYS}
            for name, access in self._accesses.items()
        }

    def lateness_ms(self) -> tuple[float, float, float]:
        """How late packets left the emulator: median, p99 and most."""
        return self._emulator.lateness()

    def close(self) -> None:
        """The devices are gone."""
        self._emulator.close()

    def _apply(self, name: str, way: Way) -> None:
        access = self._accesses[name]
        weather = access.weather[way]
        if weather.rate_kbps is None:  # nothing waits where there is no limit
            weather = msgspec.structs.replace(weather, queue_ms=None)
        self._emulator.set(access.link, way, **msgspec.structs.asdict(weather))

    async def _appear(self, access: _Access) -> None:
        name, gateway, table = access.device, access.outer, _table(access)
        await self._inside("ip", "link", "set", name, "up")
        await self._inside("ip", "address", "add", f"{access.inner}/30", "dev", name)
        route = ("ip", "route", "add", "default", "via", gateway, "dev", name)
        await self._inside(*route, "table", str(table))
        await self._inside(*route, "metric", str(table))

    async def _inside(self, *command: str) -> None:
        await _run(*self.inside(command))


def _ends(number: int) -> tuple[str, str]:
    """The devices of a link, inside and outside."""
    return f"fl{number}i", f"fl{number}o"


def _table(access: _Access) -> int:
    return FIRST_TABLE + access.number


async def _run(*command: str) -> None:
    done = await anyio.run_process(command, check=False)
    if done.returncode:
        raise NoNetworks(f"`{' '.join(command)}` failed: {done.stderr.decode().strip()}")
