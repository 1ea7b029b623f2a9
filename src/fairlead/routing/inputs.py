"""What the deciders of routing hear, and what they want done."""

from __future__ import annotations

from typing import assert_never

import msgspec

from fairlead.protocol.node import (
    AddPeer,
    LinkReport,
    RemovePeer,
    SetLink,
    SetPolicies,
    SetProtection,
    SetRoutes,
)
from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    NodeRecord,
    RegionSetsRecord,
    RoutesRecord,
)


class NodeHeard(msgspec.Struct, frozen=True, kw_only=True):
    """Another node's record came or changed."""

    record: NodeRecord


class NodeLost(msgspec.Struct, frozen=True, kw_only=True):
    """Another node is gone."""

    node: int


class LinksHeard(msgspec.Struct, frozen=True, kw_only=True):
    """A node told its links; a controller hears its own node's as well."""

    record: LinksRecord


class LinksLost(msgspec.Struct, frozen=True, kw_only=True):
    """What another node told of its links is no more."""

    node: int


class RegionSetsHeard(msgspec.Struct, frozen=True, kw_only=True):
    """The region sets of a node's rooms; also this node's own."""

    record: RegionSetsRecord


class RegionSetsLost(msgspec.Struct, frozen=True, kw_only=True):
    """A node's rooms have no region sets any more."""

    node: int


class RoutesHeard(msgspec.Struct, frozen=True, kw_only=True):
    """A controller leased routes; also the controller on this node."""

    record: RoutesRecord


class ControllerHeard(msgspec.Struct, frozen=True, kw_only=True):
    """A controller renewed its record; also the one on this node."""

    record: ControllerRecord


class ControllerLost(msgspec.Struct, frozen=True, kw_only=True):
    """A controller took its record back, or its node is gone."""

    node: int


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Write a record of this node into its cell."""

    record: LinksRecord | RoutesRecord | ControllerRecord


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Take a record of this node back."""

    record: RoutesRecord


Heard = (
    NodeHeard
    | NodeLost
    | LinksHeard
    | LinksLost
    | RegionSetsHeard
    | RegionSetsLost
    | RoutesHeard
    | ControllerHeard
    | ControllerLost
)
FollowerInput = Heard | LinkReport
FollowerOutput = AddPeer | RemovePeer | SetRoutes | SetPolicies | SetProtection | SetLink | Publish
ControllerInput = Heard
ControllerOutput = Publish | Withdraw

RoutingRecord = NodeRecord | LinksRecord | RegionSetsRecord | RoutesRecord | ControllerRecord
"""What the cells tell routing."""


def heard(record: RoutingRecord) -> Heard:
    """What it is to hear of a record."""
    match record:
        case NodeRecord():
            return NodeHeard(record=record)
        case LinksRecord():
            return LinksHeard(record=record)
        case RegionSetsRecord():
            return RegionSetsHeard(record=record)
        case RoutesRecord():
            return RoutesHeard(record=record)
        case ControllerRecord():
            return ControllerHeard(record=record)
        case _:
            assert_never(record)
