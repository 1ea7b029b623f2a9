"""Messages to the operator's servers: order, retries, ages and limits."""

from __future__ import annotations

import itertools

from fairlead.telemetry import deliveries
from fairlead.telemetry.deliveries import Deliveries, Message, Post, Posted

URL = "http://hooks.example/a"


def message(body: str, about: str = "RM_1", url: str = URL) -> Message:
    return Message(url=url, about=about, body=body.encode())


def answer(post: Post, taken: bool = True, again: bool = True) -> Posted:
    return Posted(post=post, taken=taken, again=again)


def bodies(posts: list[Post]) -> list[str]:
    return [post.body.decode() for post in posts]


def test_in_order_for_each_thing_and_side_by_side_for_several() -> None:
    box = Deliveries()
    first = box.handle(0, message("a1"))
    assert bodies(first) == ["a1"]
    assert box.handle(0, message("a2")) == []
    assert bodies(box.handle(0, message("b1", about="RM_2"))) == ["b1"]
    assert bodies(box.handle(0, message("a1", url=URL + "b"))) == ["a1"]
    assert bodies(box.handle(1, answer(first[0]))) == ["a2"]
    assert box.delivered == 1


def test_tried_again_ever_more_slowly_and_given_up_when_old() -> None:
    box = Deliveries()
    now, tries = 0.0, []
    posts = box.handle(now, message("a1"))
    box.handle(now, message("a2"))
    while posts and bodies(posts) == ["a1"]:
        tries.append(now)
        assert box.handle(now, answer(posts[0], taken=False)) == []
        due = box.deadline()
        assert due is not None
        now = due
        posts = box.handle(now)
    gaps = [later - sooner for sooner, later in itertools.pairwise(tries)]
    assert gaps[:5] == [0.5, 1, 2, 4, 5]
    assert deliveries.MAX_AGE - 5 <= tries[-1] <= deliveries.MAX_AGE
    assert box.given_up == 2, "the second waited behind it as long"
    assert box.deadline() is None


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    box = Deliveries()
    (post,) = box.handle(0, message("a1"))
    box.handle(0, message("a2"))
    assert bodies(box.handle(0, answer(post, taken=False, again=False))) == ["a2"]
    assert (box.delivered, box.given_up) == (0, 1)


def test_an_answer_to_what_is_not_asked_is_let_go() -> None:
    box = Deliveries()
    (post,) = box.handle(0, message("a1"))
    box.handle(0, message("a2"))
    (second,) = box.handle(0, answer(post))
    assert box.handle(0, answer(post)) == []
    assert box.delivered == 1
    assert box.handle(0, answer(second)) == []
    assert box.handle(0, answer(second)) == []
    assert box.delivered == 2


def test_bounds() -> None:
    box = Deliveries()
    for number in range(deliveries.MAX_WAITING + 5):
        box.handle(0, message(str(number)))
    assert box.dropped == 5
    posts = []
    for number in range(deliveries.MAX_QUEUES + 5):
        posts += box.handle(0, message("x", about=f"RM_{number + 2}"))
    assert len(posts) == deliveries.MAX_POSTS - 1
    assert box.dropped == 5 + 6
    assert box.deadline() is None, "an answer comes first"
    assert len(box.handle(0, answer(posts[0]))) == 1
