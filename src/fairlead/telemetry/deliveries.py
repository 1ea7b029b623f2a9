"""Messages on their way to the operator's web servers: in order for each thing, each for a while.

It decides and does nothing: what is to be posted comes out, and how that went goes in.
"""

from __future__ import annotations

from collections import deque

import msgspec

MAX_AGE = 30.0
"""Seconds after which a message that was not delivered is given up."""
MAX_WAITING = 200
"""Messages that wait for one server about one thing; of more the newest is dropped and counted."""
MAX_QUEUES = 4096
"""Servers times things with messages waiting; what is about yet another is dropped and counted."""
MAX_POSTS = 32
"""Requests under way at a time."""
FIRST_PAUSE = 0.5
"""Seconds before a message is tried again, twice as long each time."""
LONGEST_PAUSE = 5.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to ``about`` (a room's sid): ``url`` shall hear of it."""

    url: str
    about: str
    body: bytes


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """How a `Post` went. ``again``: it was not taken now, and may be later."""

    post: Post
    taken: bool
    again: bool = True


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Send this body to this URL; answered by `Posted`."""

    url: str
    about: str
    body: bytes
    number: int


class _Waiting(msgspec.Struct):
    body: bytes
    since: float
    number: int


class _Queue:
    """What one server has yet to hear of one thing; the first is tried until it is taken."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.posting = False
        self.next_at = 0.0
        self.pause = FIRST_PAUSE


class Deliveries:
    """See the module."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._posts = 0
        self._number = 0
        self.delivered = 0
        self.dropped = 0
        """Over the limits."""
        self.given_up = 0
        """Too old, or refused for good."""

    def handle(self, now: float, event: Message | Posted | None = None) -> list[Post]:
        """Take an event at ``now`` (seconds), or None when the deadline came: what to post."""
        match event:
            case Message():
                self._put(now, event)
            case Posted():
                self._posted(now, event)
            case None:
                pass
        return self._due(now)

    def deadline(self) -> float | None:
        """When `handle` is due again by itself."""
        if self._posts >= MAX_POSTS:
            return None
        waits = [queue.next_at for queue in self._queues.values() if not queue.posting]
        return min(waits, default=None)

    def _put(self, now: float, message: Message) -> None:
        key = (message.url, message.about)
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= MAX_QUEUES:
                self.dropped += 1
                return
            queue = self._queues[key] = _Queue()
            queue.next_at = now
        if len(queue.waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._number += 1
        queue.waiting.append(_Waiting(message.body, now, self._number))

    def _posted(self, now: float, event: Posted) -> None:
        key = (event.post.url, event.post.about)
        queue = self._queues.get(key)
        if queue is None or not queue.posting or queue.waiting[0].number != event.post.number:
            return
        queue.posting = False
        self._posts -= 1
        if event.taken or not event.again:
            self.delivered += event.taken
            self.given_up += not event.taken
            self._next(now, key, queue)
        else:
            queue.next_at = now + queue.pause
            queue.pause = min(2 * queue.pause, LONGEST_PAUSE)

    def _due(self, now: float) -> list[Post]:
        posts: list[Post] = []
        for key, queue in list(self._queues.items()):
            if queue.posting or queue.next_at > now:
                continue
            while queue.waiting and now - queue.waiting[0].since > MAX_AGE:
                self.given_up += 1
                self._next(now, key, queue)
            if not queue.waiting or self._posts >= MAX_POSTS:
                continue
            queue.posting = True
            self._posts += 1
            first = queue.waiting[0]
            posts.append(Post(url=key[0], about=key[1], body=first.body, number=first.number))
        return posts

    def _next(self, now: float, key: tuple[str, str], queue: _Queue) -> None:
        """The first is done with, one way or the other."""
        queue.waiting.popleft()
        queue.next_at = now
        queue.pause = FIRST_PAUSE
        if not queue.waiting:
            del self._queues[key]
