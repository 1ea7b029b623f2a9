"""What the load client says while it runs: `crates/load/src/figures.rs` has the other half."""

from __future__ import annotations

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """Packets of one kind of media that were due in the measured time."""

    sent: int
    """By the publishers, in all layers."""
    received: int
    """By all subscribers together."""
    lost: int
    late: int
    """Of those received."""
    duplicates: int
    """Of the whole run."""
    subscriptions: int
    unheard: int
    """Subscriptions on which nothing ever came."""
    delay_ms: Spread
    """From the publisher's socket to the subscriber's."""

    @property
    def loss(self) -> float:
        """A share."""
        return self.lost / max(self.lost + self.received, 1)


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="phase", tag="progress"):
    """Where a run stands, once a second."""

    stage: str
    clients: int
    joined: int
    failed: int
    dropped: int
    subscriptions: int
    heard: int
    received_per_s: float
    lost: int
    late: int


class Quiet(msgspec.Struct, frozen=True, tag_field="phase", tag="quiet"):
    """Everyone is in or given up; nobody speaks."""

    clients: int


class Speaking(msgspec.Struct, frozen=True, tag_field="phase", tag="speaking"):
    """The quiet time is over."""


class Measuring(msgspec.Struct, frozen=True, tag_field="phase", tag="measuring"):
    """The measurement begins."""


class Measured(msgspec.Struct, frozen=True, tag_field="phase", tag="measured"):
    """It is over; packets may still be under way."""


class Failed(msgspec.Struct, frozen=True, tag_field="phase", tag="failed"):
    """The run could not be; ``status`` is 2 for bad input."""

    reason: str
    status: int


class Figures(msgspec.Struct, frozen=True, kw_only=True, tag_field="phase", tag="done"):
    """The last line."""

    interrupted: bool
    seconds: float
    """Measured."""
    clients: int
    joined: int
    failed: dict[str, int]
    """Clients that never came in, by reason."""
    dropped: dict[str, int]
    """Clients that were in and were lost, by reason."""
    join_ms: Spread
    """From a client's first packet until ICE, DTLS and data channels are up."""
    signal_ms: Spread
    """From the same until its join was answered."""
    joins_per_s: float
    media: dict[str, Medium]
    behind_ms: Spread
    """How much later than due publishers sent: what the load itself adds."""
    datagram_bytes: float
    reoffers: int
    keyframes_asked: int

    @property
    def received(self) -> int:
        return sum(medium.received for medium in self.media.values())


Line = Progress | Quiet | Speaking | Measuring | Measured | Failed | Figures

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def decode(text: str) -> Line:
    """One line. Raises `msgspec.DecodeError`."""
    return _decoder.decode(text)
