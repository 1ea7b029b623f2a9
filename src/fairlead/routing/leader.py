"""Which controller is active: the lowest node among those that renew their records.

Epochs order their words. Taking over means one more than the highest epoch heard of; who hears of
a higher one, or of an equal one from a lower node, steps down. A lower node that comes back takes
over once it has listened; until then the other goes on, so there is no gap.
"""

from __future__ import annotations

from fairlead.types import ControllerRecord

BEAT = 5.0
"""Seconds between renewals."""
LEASE = 12.0
"""Seconds without renewal after which another takes over: two beats may be lost."""
LISTEN = 6.0
"""Seconds that a controller must have been the lowest before it takes over."""
MAX_EPOCH = 2**62
"""A higher one is nobody's epoch."""


class Leader:
    """The state of one controller."""

    def __init__(self, node: int) -> None:
        self._node = node
        self.epoch = 0
        """Of its last reign; only meaningful while `active`."""
        self.active = False
        self._seen = 0
        self._others: dict[int, tuple[ControllerRecord, float]] = {}
        """Each other controller's last record and when its lease ends."""
        self._lowest_since: float | None = None
        self._told: bool | None = None
        """Whether it was active when it last said so."""
        self._beat = 0
        self._beat_at: float | None = None
        self.counts = {"controllers_stepped_down": 0, "controllers_taken_over": 0}

    def heard(self, now: float, record: ControllerRecord) -> None:
        """Another controller renewed its record."""
        if record.node == self._node or not 0 <= record.epoch <= MAX_EPOCH:
            return
        self._others[record.node] = (record, now + LEASE)
        self.epoch_seen(record.epoch)
        lower = record.node < self._node
        if record.active and self.active and record.epoch == self.epoch and lower:
            self._step_down()

    def lost(self, node: int) -> None:
        """Another controller is gone."""
        self._others.pop(node, None)

    def epoch_seen(self, epoch: int) -> None:
        """Somebody obeys this epoch."""
        if epoch > MAX_EPOCH:
            return
        self._seen = max(self._seen, epoch)
        if self.active and epoch > self.epoch:
            self._step_down()

    def handle(self, now: float) -> ControllerRecord | None:
        """Let time pass; a record to publish, if it is due. ``now`` in seconds."""
        self._elect(now)
        if self.active == self._told and self._beat_at is not None and now < self._beat_at + BEAT:
            return None
        self._beat += 1
        self._beat_at, self._told = now, self.active
        epoch = self.epoch if self.active else self._seen
        return ControllerRecord(node=self._node, epoch=epoch, active=self.active, beat=self._beat)

    def deadline(self) -> float:
        """When `handle` wants to be called next."""
        if self.active != self._told:
            return 0.0
        ends = [end for _, end in self._others.values()]
        if self._beat_at is not None:
            ends.append(self._beat_at + BEAT)
        if not self.active and self._lowest_since is not None:
            ends.append(self._lowest_since + LISTEN)
        return min(ends, default=0.0)

    def _elect(self, now: float) -> None:
        self._others = {n: (r, end) for n, (r, end) in self._others.items() if now < end}
        lower = [record for node, (record, _) in self._others.items() if node < self._node]
        if self.active and any(r.active and r.epoch >= self.epoch for r in lower):
            self._step_down()
        if lower:
            self._lowest_since = None
        elif self._lowest_since is None:
            self._lowest_since = now
        if (
            not self.active
            and self._lowest_since is not None
            and now >= self._lowest_since + LISTEN
        ):
            self.active = True
            self.epoch = self._seen = self._seen + 1
            self.counts["controllers_taken_over"] += 1

    def _step_down(self) -> None:
        self.active = False
        self._lowest_since = None
        self.counts["controllers_stepped_down"] += 1
