"""Questions between edges: asked in the cell of the edge that answers, as a client of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

Handler = Callable[[bytes], Awaitable[bytes]]

MAX_ASKED = 1024
"""Questions of ours under way; the next is refused with `NoAnswer`."""
MAX_ANSWERING = 64
"""Questions of others answered at a time."""
MAX_WAITING = 256
"""Questions of others that wait; what comes beyond gets no answer, and its asker times out."""

_ANSWERED, _FAILED = b"\x00", b"\x01"

log = structlog.get_logger(__name__)


class NoAnswer(Exception):
    """A node that did not answer: unknown, cut off, too slow, or failing. One plain sentence."""


class Asker:
    """Asks other nodes."""

    def __init__(self) -> None:
        self._under_way = 0

    async def ask(self, client: Client | None, node: int, question: bytes, timeout: float) -> bytes:
        """The answer of a node, over a client of its cell. Raises `NoAnswer`."""
        if client is None or not client.is_connected:
            raise NoAnswer(f"the cell of node {node} can't be reached: try again in a second.")
        if len(question) > client.max_payload:
            raise NoAnswer(
                f"{len(question)} bytes are too many to ask node {node}: its cell takes "
                f"{client.max_payload}."
            )
        if self._under_way >= MAX_ASKED:
            raise NoAnswer(f"{MAX_ASKED} questions are under way already: try again in a second.")
        self._under_way += 1
        try:
            message = await client.request(_subject(node), question, timeout=timeout)
        except nats.errors.NoRespondersError as nobody:
            raise NoAnswer(f"node {node} does not listen: it is starting or gone.") from nobody
        except TimeoutError as late:
            raise NoAnswer(f"node {node} did not answer within {timeout:g} s.") from late
        except (nats.errors.Error, OSError) as fault:
            raise NoAnswer(f"the connection to node {node}'s cell broke.") from fault
        finally:
            self._under_way -= 1
        if message.data[:1] != _ANSWERED:
            raise NoAnswer(f"node {node} could not answer: its log says why.")
        return message.data[1:]


async def answer(client: Client, node: int, handler: Handler) -> None:
    """Answer the questions to ``node`` until the connection ends.

    A handler that raises is logged here and told to the asker as a failure.
    """
    subscription = await client.subscribe(_subject(node), pending_msgs_limit=MAX_WAITING)
    slots = anyio.Semaphore(MAX_ANSWERING)
    async with anyio.create_task_group() as group:
        async for message in subscription.messages:
            await slots.acquire()
            group.start_soon(_answer_one, client, message, handler, slots)


async def _answer_one(
    client: Client, message: Msg, handler: Handler, slots: anyio.Semaphore
) -> None:
    try:
        reply = _ANSWERED + await handler(message.data)
    except Exception:
        log.exception("a question from another node could not be answered")
        reply = _FAILED
    finally:
        slots.release()
    if message.reply:
        if len(reply) > client.max_payload:
            log.error("an answer is too large for the cell", size=len(reply))
            reply = _FAILED
        await client.publish(message.reply, reply)


def _subject(node: int) -> str:
    return f"fairlead.ask.{node}"
