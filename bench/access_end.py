"""One end of an emulated access link, in a network namespace of its own: sends or collects probes.

``bench.access`` starts two of these, writes a line of JSON for each thing to do and reads a line
for each done. It ends with its input, and its namespace and addresses with it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from typing import Any

PORT = 7_000
HEADERS = 28
"""Of IPv4 and UDP: what a rate counts besides the payload."""
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
"""Of Linux (asm-generic/socket.h); Python has no names for them."""
_RECEIVE_BYTES = 64 << 20
_PROBE = struct.Struct("!IQ")
_TIMESPEC = struct.Struct("qq")
_SLEEP_S = 0.0005
"""Shorter waits are not slept: a probe is rather sent a little early or late, its time is in it."""


def main() -> None:
    device, address, peer = sys.argv[1:]
    print(json.dumps("here"), flush=True)
    sys.stdin.readline()  # the device is here now
    for command in (f"addr add {address} peer {peer} dev {device}", f"link set {device} up"):
        subprocess.run(["ip", *command.split()], check=True)
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    probe.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    probe.bind((address, PORT))
    probe.connect((peer, PORT))
    probe.setblocking(False)
    print(json.dumps("up"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _send(probe, **asked) if asked else _collect(probe)
        print(json.dumps(answer), flush=True)


def _send(probe: socket.socket, count: int, per_s: float, length: int) -> int:
    """Send so many probes of so many IP bytes, evenly; how many the kernel took."""
    sent = 0
    begun = time.monotonic()
    padding = bytes(length - HEADERS - _PROBE.size)
    for number in range(count):
        wait = begun + number / per_s - time.monotonic()
        if wait > _SLEEP_S:
            time.sleep(wait)
        with contextlib.suppress(OSError):
            probe.send(_PROBE.pack(number, time.time_ns()) + padding)
            sent += 1
    return sent


def _collect(probe: socket.socket) -> list[tuple[int, int, int, int]]:
    """Of each probe that came: number, nanoseconds when sent and when the kernel had it, bytes."""
    came: list[tuple[int, int, int, int]] = []
    while True:
        try:
            payload, notes, _, _ = probe.recvmsg(65_536, 64)
        except BlockingIOError:
            return came
        number, sent = _PROBE.unpack_from(payload)
        came.append((number, sent, _when(notes), len(payload) + HEADERS))


def _when(notes: list[Any]) -> int:
    for level, kind, value in notes:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()


if __name__ == "__main__":
    main()
