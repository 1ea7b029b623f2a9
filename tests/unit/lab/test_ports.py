"""Free ports for a world."""

from __future__ import annotations

import socket

import pytest

from fairlead.lab import ports
from fairlead.lab.ports import NoPorts


def test_blocks_do_not_overlap() -> None:
    firsts = ports.blocks(5)
    every = [port for first in firsts for port in range(first, first + ports.BLOCK)]
    assert len(set(every)) == 5 * ports.BLOCK


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_taken_port_is_named(kind: socket.SocketKind) -> None:
    base = ports.blocks(1)[0]
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", base + 2))
        with pytest.raises(NoPorts, match=f"port {base + 2} is in use"):
            ports.blocks(2, base)


def test_a_preferred_port_is_given_while_it_is_free() -> None:
    base = ports.blocks(1)[0]
    assert ports.one(base) == base
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", base))
        taken.listen()
        assert ports.one(base) != base
