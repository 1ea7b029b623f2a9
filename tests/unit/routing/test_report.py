"""What a node tells the others of its links, and when."""

from __future__ import annotations

import pytest

from fairlead.routing.report import is_news
from fairlead.types import LinksRecord, LinkState


def record(capacity_kbps: int | None) -> LinksRecord:
    link = LinkState(peer=2, up=True, rtt_ms=40.0, capacity_kbps=capacity_kbps)
    return LinksRecord(node=1, links=[link])


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (None, 2000, True),
        (2000, None, True),
        (2000, 2000, False),
        (2000, 2190, False),  # a learnt capacity never stands quite still
        (2000, 2210, True),
        (2000, 1000, True),
    ],
)
def test_a_capacity_is_news_when_it_comes_goes_or_moves(
    before: int | None, after: int | None, news: bool
) -> None:
    assert is_news(record(before), record(after)) is news
