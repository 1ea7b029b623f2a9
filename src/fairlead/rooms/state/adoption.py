"""A client that asks an edge for the session that another edge had."""

from __future__ import annotations

import msgspec

from fairlead.policy.grants import Grants
from fairlead.protocol.join import Join


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """A client that asked for a session of another edge, until it said what it has."""

    grants: Grants
    join: Join
    room: str

    @property
    def sid(self) -> str:
        return self.join.sid
