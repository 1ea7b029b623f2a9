"""A session whose client is away, or comes back: what it has to hear on its return.

How it comes back is decided in `fairlead.rooms.presence.resuming`.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from livekit.protocol.models import DisconnectReason, ParticipantInfo

from fairlead.protocol.node import Had

MAX_UNPUBLISHED = 64
RETURNS = 10
RETURNS_WITHIN = 10.0
"""Seconds: a client that comes back more than `RETURNS` times in them is not answered."""

MAX_DEPARTED = 1024
DEPARTED_AGE = 180.0
"""Seconds that a departure is remembered: longer than a client can be away."""
MAX_ENDINGS = 4096


class Absence:
    """One session's time without its client, if there is such."""

    def __init__(self) -> None:
        self.silent = False
        """Nothing comes on the connection that the client listens on, either."""
        self.websocket: int | None = None
        """On which it comes back, while the node says where its messages stand."""
        self.sent_off = False
        """It was told to go on at another edge."""
        self.syncing = False
        """It came back and has not said yet what it has."""
        self.restart = False
        """Our next offer restarts ICE."""
        self.unpublished: deque[str] = deque(maxlen=MAX_UNPUBLISHED)
        """Tracks that the server ended: it may not have heard so."""
        self.had: list[Had] | None = None
        """Another edge had it: of each publisher, the last message that it got."""
        self.moving = False
        """Another edge had it, and its tracks have no m-lines here yet."""
        self._returns: deque[float] = deque(maxlen=RETURNS)

    def hurries(self, now: float) -> bool:
        """Whether it comes back too often; else this return is counted."""
        if len(self._returns) == RETURNS and now - self._returns[0] < RETURNS_WITHIN:
            return True
        self._returns.append(now)
        return False


class Departures:
    """Who left a room of late: the oldest is forgotten over `MAX_DEPARTED`."""

    def __init__(self) -> None:
        self._left: deque[tuple[float, ParticipantInfo]] = deque()
        self._forgotten_at = 0.0

    def note(self, now: float, info: ParticipantInfo) -> None:
        """Someone left; ``info`` is the last that was told of it."""
        self._left.append((now, info))
        while self._left[0][0] < now - DEPARTED_AGE:
            self._left.popleft()
        if len(self._left) > MAX_DEPARTED:
            self._forgotten_at, _ = self._left.popleft()

    def since(self, when: float) -> list[ParticipantInfo] | None:
        """Who left since then; None if some of them are forgotten."""
        if when <= self._forgotten_at:
            return None
        return [info for at, info in self._left if at >= when]


class Endings:
    """Why sessions ended that may not come back: a client that was away did not hear it."""

    def __init__(self) -> None:
        self._why: OrderedDict[tuple[str, str], DisconnectReason] = OrderedDict()

    def note(self, sid: str, identity: str, reason: DisconnectReason) -> None:
        self._why[sid, identity] = reason
        if len(self._why) > MAX_ENDINGS:
            self._why.popitem(last=False)

    def why(self, sid: str, identity: str) -> DisconnectReason | None:
        """Why this session of this identity ended; None if it is not known to have ended so."""
        return self._why.get((sid, identity))
