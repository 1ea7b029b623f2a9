"""What the doctor says: findings, each a sentence and where needed a remedy, and their sum."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "failed", "skipped"]
HEALTHY, SICK = 0, 1
WAYS = ("ice udp", "ice tcp", "turn udp", "turn tcp", "turn tls")
"""How media may come, the best first."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    name: str
    verdict: Verdict
    says: str
    fix: str = ""
    """What to do about it; empty if all is well."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    target: str
    findings: list[Finding]
    summary: str
    status: int


def ok(name: str, says: str) -> Finding:
    """All is well."""
    return Finding(name=name, verdict="ok", says=says)


def warning(name: str, says: str, fix: str) -> Finding:
    """It works, and will not always."""
    return Finding(name=name, verdict="warning", says=says, fix=fix)


def failed(name: str, says: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(name=name, verdict="failed", says=says, fix=fix)


def skipped(name: str, says: str) -> Finding:
    """It could not be looked at."""
    return Finding(name=name, verdict="skipped", says=says)


def report(target: str, findings: list[Finding]) -> Report:
    """The sum: status 1 if anything failed."""
    broken = [one for one in findings if one.verdict == "failed"]
    return Report(
        target=target,
        findings=findings,
        summary=_summary(findings, broken),
        status=SICK if broken else HEALTHY,
    )


def _summary(findings: list[Finding], broken: list[Finding]) -> str:
    working = [
        way for way in WAYS if any(one.name == way and one.verdict == "ok" for one in findings)
    ]
    said = f"Media gets through by {', '.join(working)}." if working else ""
    if not broken:
        return said or "Nothing is wrong."
    first = f"To fix: {broken[0].fix}"
    more = f" ({len(broken) - 1} more below it)" if len(broken) > 1 else ""
    return " ".join(part for part in (said, first + more) if part)
