"""Figures as text: Prometheus's exposition format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Sample(msgspec.Struct, frozen=True):
    """One figure, and what tells it from its siblings."""

    value: float
    labels: Mapping[str, str] = {}


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one name. ``help`` says what they count, with the unit."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: list[Sample]


def gauge(name: str, help: str, samples: list[Sample]) -> Family:
    """What goes up and down."""
    return Family(name=name, kind="gauge", help=help, samples=samples)


def counter(name: str, help: str, samples: list[Sample]) -> Family:
    """What only grows; its name ends in ``_total``."""
    return Family(name=name, kind="counter", help=help, samples=samples)


def expose(families: Iterable[Family]) -> str:
    """The text that a scraper reads. Raises ValueError on a name that can't be one."""
    return "".join(_family(family) for family in families)


def _family(family: Family) -> str:
    if not _NAME.fullmatch(family.name):
        raise ValueError(f"{family.name!r} can't be a metric's name")
    lines = [
        f"# HELP {family.name} {_escape(family.help)}",
        f"# TYPE {family.name} {family.kind}",
        *(
            f"{family.name}{_labels(sample.labels)} {sample.value:.17g}"
            for sample in family.samples
        ),
    ]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    for name in labels:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"{name!r} can't be a label's name")
    pairs = (f'{name}="{_quote(value)}"' for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', r"\"")
