"""Operations between two edges over real cells, and what goes wrong on the way."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from fairlead.cells.cell import NatsCells
from fairlead.cells.change import RecordPut
from fairlead.cells.embedded import embedded
from fairlead.cells.request import NoAnswer
from fairlead.protocol.operation import AnyOperation, DeleteRoom, Done, Failed, Reply
from fairlead.server.api.operator import Operator
from tests.unit.cells import records

pytestmark = pytest.mark.anyio


async def far_edge(operation: AnyOperation) -> Reply:
    if operation.room == "broken":
        raise RuntimeError("on purpose")
    return Done(payload=f"{type(operation).__name__} {operation.room}".encode())


async def here(operation: AnyOperation) -> Reply:
    return Done(payload=b"here")


async def test_operations_cross_to_the_edge_that_serves(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        one = NatsCells(node=1, region="jakarta", url=server.url)
        two = NatsCells(node=2, region="jakarta", url=server.url)
        two.serve(Operator(2, two, far_edge).answer)
        await two.put(records.node(2))
        operator = Operator(1, one, here)
        async with two.running(), one.running(), aclosing(one.changes()) as changes:
            with anyio.fail_after(20):
                while await anext(changes) != RecordPut(record=records.node(2)):
                    pass
            delete = DeleteRoom(room="shop")
            assert await operator.operate(1, delete) == Done(payload=b"here")
            assert await operator.operate(2, delete) == Done(payload=b"DeleteRoom shop")
            broken = await operator.operate(2, DeleteRoom(room="broken"))
            assert isinstance(broken, Failed)
            assert broken.code == "unavailable"
            unknown = await operator.operate(3, delete)
            assert unknown == Failed(code="unavailable", message="node 3 is not known, or gone.")


class Answering:
    """Cells on which every question gets one answer."""

    def __init__(self, answer: bytes | NoAnswer) -> None:
        self._answer = answer

    async def request(self, node: int, question: bytes, timeout: float = 5.0) -> bytes:
        if isinstance(self._answer, NoAnswer):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "code"),
    [(b"\xc1", "internal"), (b"\x80", "internal"), (NoAnswer("away"), "unavailable")],
)
async def test_an_edge_that_answers_nonsense_is_an_error(
    answer: bytes | NoAnswer, code: str
) -> None:
    reply = await Operator(1, Answering(answer), here).operate(2, DeleteRoom(room="shop"))
    assert isinstance(reply, Failed)
    assert reply.code == code


async def test_a_question_that_cannot_be_read_is_unimplemented() -> None:
    reply = await Operator(1, Answering(b""), here).answer(b"\x81\xa4type\xa3New")
    assert b"unimplemented" in reply
