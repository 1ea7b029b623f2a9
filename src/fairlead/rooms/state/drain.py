"""How far an edge is that sends its people elsewhere; `presence.draining` does it."""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason


class Drain:
    """Whether an edge drains, and how far it is."""

    def __init__(self) -> None:
        self.on = False
        self.moved = 0
        """Sessions sent away since it began."""
        self.rate = 0.0
        """Sessions a second."""
        self.reason = DisconnectReason.MIGRATION
        """What those who are sent away are told."""
