"""Carries operations to the edge that must run them, and answers those that others send here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from fairlead.cells.request import NoAnswer
from fairlead.protocol import operation as wire
from fairlead.protocol.operation import AnyOperation, Failed, Reply

TIMEOUT = 5.0
"""Seconds until another edge must have carried an operation out."""

Run = Callable[[AnyOperation], Awaitable[Reply]]


class Requests(Protocol):
    """What is needed of the cells."""

    async def request(self, node: int, question: bytes, timeout: float = 5.0) -> bytes:
        """Ask a node. Raises `NoAnswer`."""


class Operator:
    """Runs operations here (``run``) or at another node."""

    def __init__(self, node: int, cells: Requests, run: Run) -> None:
        self._node = node
        self._cells = cells
        self._run = run

    async def operate(self, node: int, operation: AnyOperation) -> Reply:
        """Have a node carry an operation out; a node that can't be asked is `unavailable`."""
        if node == self._node:
            return await self._run(operation)
        try:
            patience = operation.patience_s if isinstance(operation, wire.PerformRpc) else 0.0
            answer = await self._cells.request(node, wire.encode(operation), TIMEOUT + patience)
            return wire.decode_reply(answer)
        except NoAnswer as reason:
            return Failed(code="unavailable", message=str(reason))
        except (msgspec.ValidationError, msgspec.DecodeError):
            return Failed(code="internal", message=f"node {node} answered what can't be read.")

    async def answer(self, question: bytes) -> bytes:
        """Answer another edge; give this to the cells' ``serve``."""
        try:
            operation = wire.decode_operation(question)
        except (msgspec.ValidationError, msgspec.DecodeError):
            unknown = Failed(code="unimplemented", message="this node does not know the operation.")
            return wire.encode(unknown)
        return wire.encode(await self._run(operation))
