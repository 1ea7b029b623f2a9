"""The Rust surface, typed by hand; ``mypy.stubtest`` holds it against the module."""

from typing import Self, final

__all__ = ["OPTIMIZED", "SOURCE_HASH", "Node"]

OPTIMIZED: bool
SOURCE_HASH: str

@final
class Node:
    """One node's packet threads. Commands go down, events come up; no packet does."""

    def __new__(cls, config: bytes) -> Self:
        """Start from a msgpack `NodeConfig`. Raises OSError if a port can't be bound."""

    def handle(self, command: bytes) -> None:
        """Queue a msgpack `Command`. Raises ValueError if it can't be read."""

    def drain(self) -> list[bytes]:
        """Every msgpack `Event` since the last call."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""

    def close(self) -> None:
        """Stop the threads and close the sockets; a second call does nothing."""

    @property
    def udp_port(self) -> int: ...
    @property
    def tcp_port(self) -> int: ...
    @property
    def mesh_ports(self) -> list[int]: ...
    @property
    def public_key(self) -> bytes: ...
