"""RoomService: what each method needs of the token, reads of the directory and asks of edges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import anyio
from google.protobuf.message import Message
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ForwardParticipantRequest,
    ForwardParticipantResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    MoveParticipantRequest,
    MoveParticipantResponse,
    MuteRoomTrackRequest,
    MuteRoomTrackResponse,
    PerformRpcRequest,
    PerformRpcResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
    SendDataRequest,
    SendDataResponse,
    UpdateParticipantRequest,
    UpdateRoomMetadataRequest,
    UpdateSubscriptionsRequest,
    UpdateSubscriptionsResponse,
)

from fairlead.policy import regions
from fairlead.policy.grants import Grants
from fairlead.policy.regions import RegionSet, RoomRule
from fairlead.protocol.operation import (
    AnyOperation,
    CreateRoom,
    DeleteRoom,
    Failed,
    ForwardParticipant,
    MoveParticipant,
    MuteTrack,
    PerformRpc,
    RemoveParticipant,
    Reply,
    RevokeTokens,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
)
from fairlead.rooms.calling import patience
from fairlead.server.api.directory import Directory
from fairlead.server.api.twirp import TwirpError

M = TypeVar("M", bound=Message)

Method = Callable[[Grants, Any], Awaitable[Message]]
"""Takes the request of its own type."""


class Operates(Protocol):
    """Has a node carry an operation out."""

    async def operate(self, node: int, operation: AnyOperation) -> Reply: ...


class RoomService:
    """The methods, by their Twirp names in `methods`. Each raises `TwirpError` or `Denied`."""

    def __init__(
        self,
        node: int,
        directory: Directory,
        operator: Operates,
        region: str = "",
        rules: Sequence[RoomRule] = (),
    ) -> None:
        """``region`` is this node's, ``rules`` the operator's on where rooms may be."""
        self._node = node
        self._region = region
        self._rules = rules
        self._directory = directory
        self._operator = operator

    @property
    def methods(self) -> dict[str, tuple[type[Message], Method]]:
        """Method name to request type and method."""
        return {
            "CreateRoom": (CreateRoomRequest, self.create_room),
            "ListRooms": (ListRoomsRequest, self.list_rooms),
            "DeleteRoom": (DeleteRoomRequest, self.delete_room),
            "ListParticipants": (ListParticipantsRequest, self.list_participants),
            "GetParticipant": (RoomParticipantIdentity, self.get_participant),
            "RemoveParticipant": (RoomParticipantIdentity, self.remove_participant),
            "MutePublishedTrack": (MuteRoomTrackRequest, self.mute_published_track),
            "UpdateParticipant": (UpdateParticipantRequest, self.update_participant),
            "UpdateSubscriptions": (UpdateSubscriptionsRequest, self.update_subscriptions),
            "SendData": (SendDataRequest, self.send_data),
            "UpdateRoomMetadata": (UpdateRoomMetadataRequest, self.update_room_metadata),
            "MoveParticipant": (MoveParticipantRequest, self.move_participant),
            "ForwardParticipant": (ForwardParticipantRequest, self.forward_participant),
            "PerformRpc": (PerformRpcRequest, self.perform_rpc),
        }

    async def create_room(self, grants: Grants, request: CreateRoomRequest) -> Room:
        """Idempotent: gives the room that is there, wherever it is held. One that may not be
        here is made by an edge where it may."""
        grants.require_create()
        name = _named(request.name)
        operation = CreateRoom(room=name, request=request.SerializeToString())
        try:
            asked = regions.from_metadata(request.metadata)
        except regions.BadRegions as wrong:
            raise TwirpError("invalid_argument", str(wrong)) from None
        if existing := self._directory.rooms([name]):
            known = self._directory.regions(name)
            if regions.within(known, asked):
                return existing[0]
            raise TwirpError("failed_precondition", regions.too_wide(name, known))
        allowed = regions.intersect(asked, regions.ruled(self._rules, name))
        return await self._ask(self._inside(allowed), operation, Room)

    async def list_rooms(self, grants: Grants, request: ListRoomsRequest) -> ListRoomsResponse:
        grants.require_list()
        return ListRoomsResponse(rooms=self._directory.rooms(request.names))

    async def delete_room(self, grants: Grants, request: DeleteRoomRequest) -> DeleteRoomResponse:
        """At every edge that holds it; one that can't be reached makes the call fail."""
        grants.require_create()
        await self._everywhere(request.room, DeleteRoom(room=request.room))
        return DeleteRoomResponse()

    async def list_participants(
        self, grants: Grants, request: ListParticipantsRequest
    ) -> ListParticipantsResponse:
        grants.require_admin(request.room)
        self._holders(request.room)
        return ListParticipantsResponse(participants=self._directory.participants(request.room))

    async def get_participant(
        self, grants: Grants, request: RoomParticipantIdentity
    ) -> ParticipantInfo:
        grants.require_admin(request.room)
        return self._find(request.room, request.identity)[1]

    async def remove_participant(
        self, grants: Grants, request: RoomParticipantIdentity
    ) -> RemoveParticipantResponse:
        grants.require_admin(request.room)
        node, _ = self._find(request.room, request.identity)
        if request.revoke_token_ts:
            revoke = RevokeTokens(
                room=request.room, identity=request.identity, before=request.revoke_token_ts
            )
            await self._everywhere(request.room, revoke)
        operation = RemoveParticipant(room=request.room, identity=request.identity)
        return await self._ask(node, operation, RemoveParticipantResponse)

    async def mute_published_track(
        self, grants: Grants, request: MuteRoomTrackRequest
    ) -> MuteRoomTrackResponse:
        grants.require_admin(request.room)
        node, _ = self._find(request.room, request.identity)
        operation = MuteTrack(
            room=request.room,
            identity=request.identity,
            track_sid=request.track_sid,
            muted=request.muted,
        )
        return await self._ask(node, operation, MuteRoomTrackResponse)

    async def update_participant(
        self, grants: Grants, request: UpdateParticipantRequest
    ) -> ParticipantInfo:
        grants.require_admin(request.room)
        node, _ = self._find(request.room, request.identity)
        operation = UpdateParticipant(
            room=request.room, identity=request.identity, request=request.SerializeToString()
        )
        return await self._ask(node, operation, ParticipantInfo)

    async def update_subscriptions(
        self, grants: Grants, request: UpdateSubscriptionsRequest
    ) -> UpdateSubscriptionsResponse:
        grants.require_admin(request.room)
        node, _ = self._find(request.room, request.identity)
        operation = UpdateSubscriptions(
            room=request.room, identity=request.identity, request=request.SerializeToString()
        )
        return await self._ask(node, operation, UpdateSubscriptionsResponse)

    async def send_data(self, grants: Grants, request: SendDataRequest) -> SendDataResponse:
        grants.require_admin(request.room)
        allowed = self._directory.regions(request.room)
        if not regions.allows(allowed, self._region):
            raise TwirpError(
                "failed_precondition", regions.outside(request.room, allowed, self._region)
            )
        operation = SendData(room=request.room, request=request.SerializeToString())
        return await self._ask(self._nearest(request.room), operation, SendDataResponse)

    async def update_room_metadata(
        self, grants: Grants, request: UpdateRoomMetadataRequest
    ) -> Room:
        grants.require_admin(request.room)
        operation = UpdateRoomMetadata(room=request.room, metadata=request.metadata)
        return await self._ask(self._nearest(request.room), operation, Room)

    async def move_participant(
        self, grants: Grants, request: MoveParticipantRequest
    ) -> MoveParticipantResponse:
        grants.require_admin(request.room)
        grants.require_destination(request.destination_room)
        node, _ = self._find(request.room, request.identity)
        operation = MoveParticipant(
            room=request.room, identity=request.identity, destination=request.destination_room
        )
        return await self._ask(node, operation, MoveParticipantResponse)

    async def forward_participant(
        self, grants: Grants, request: ForwardParticipantRequest
    ) -> ForwardParticipantResponse:
        grants.require_admin(request.room)
        grants.require_destination(request.destination_room)
        node, _ = self._find(request.room, request.identity)
        operation = ForwardParticipant(
            room=request.room, identity=request.identity, destination=request.destination_room
        )
        return await self._ask(node, operation, ForwardParticipantResponse)

    async def perform_rpc(self, grants: Grants, request: PerformRpcRequest) -> PerformRpcResponse:
        """Call a participant's method; the answer is its own, or says that it failed there."""
        grants.require_admin(request.room)
        node, _ = self._find(request.room, request.destination_identity)
        operation = PerformRpc(
            room=request.room,
            identity=request.destination_identity,
            request=request.SerializeToString(),
            patience_s=patience(request.response_timeout_ms),
        )
        return await self._ask(node, operation, PerformRpcResponse)

    async def _everywhere(self, room: str, operation: AnyOperation) -> None:
        """Have every edge that holds a room carry an operation out."""
        replies: list[Reply] = []

        async def ask(node: int) -> None:
            replies.append(await self._operator.operate(node, operation))

        async with anyio.create_task_group() as group:
            for node in self._holders(room):
                group.start_soon(ask, node)
        for reply in replies:
            # Another edge may have closed its half by itself meanwhile: nothing is left to do.
            if isinstance(reply, Failed) and reply.code != "not_found":
                raise TwirpError(reply.code, reply.message)

    async def _ask(self, node: int, operation: AnyOperation, kind: type[M]) -> M:
        reply = await self._operator.operate(node, operation)
        if isinstance(reply, Failed):
            raise TwirpError(reply.code, reply.message)
        return kind.FromString(reply.payload)

    def _inside(self, allowed: RegionSet) -> int:
        """A node where a room of that set may be: this one if there is no better."""
        if regions.allows(allowed, self._region):
            return self._node
        where = self._directory.region_of.items()
        return min((node for node, region in where if region in allowed), default=self._node)

    def _find(self, room: str, identity: str) -> tuple[int, ParticipantInfo]:
        if not identity:
            raise TwirpError("invalid_argument", "the request names no identity: set identity.")
        found = self._directory.participant(_named(room), identity)
        if found is None:
            raise TwirpError("not_found", f"there is no participant {identity!r} in {room!r}.")
        return found

    def _holders(self, room: str) -> list[int]:
        holders = self._directory.holders(_named(room))
        if not holders:
            raise TwirpError("not_found", f"there is no room {room!r}.")
        return holders

    def _nearest(self, room: str) -> int:
        """This node if it holds the room, else the first that does."""
        return _prefer(self._node, self._holders(room))


def _prefer(node: int, nodes: Iterable[int]) -> int:
    return min(nodes, key=lambda one: (one != node, one))


def _named(room: str) -> str:
    if not room:
        raise TwirpError("invalid_argument", "the request names no room: set its name.")
    return room
