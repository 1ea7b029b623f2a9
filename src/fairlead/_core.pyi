"""The Rust surface, typed by hand; ``mypy.stubtest`` holds it against the module."""

SOURCE_HASH: str

class Node:
    """One node's packet threads. Commands go down, events come up; no packet does."""

    def __init__(self, config: bytes) -> None:
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
    def mesh_port(self) -> int: ...
    @property
    def public_key(self) -> bytes: ...
