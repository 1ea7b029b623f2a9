"""What a forwarded packet costs in instructions, and whose they are: the same figure each time.

The shipping cores are run in virtual time, without a socket, under valgrind's callgrind
(`apt install valgrind`): `crates/sfu/examples/forward.rs` has one publisher and fifty subscribers
with their feedback, `crates/mesh/examples/relay.rs` a node between two others. What callgrind
emulates has AES-NI but no wider vectors, so that the share of ciphers is an upper bound. The
kernel's part, sockets and system calls, is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.row import Row, print_rows

RUN_S = 900.0


@dataclass(frozen=True)
class Case:
    """One program and what it is told."""

    name: str
    program: str
    words: tuple[str, ...]


CASES = (
    Case("SFU, sound, 1 to 50", "forward", ("audio", "50", "200")),
    Case("SFU, pictures, 1 to 50", "forward", ("video", "50", "60")),
    Case("relay, 80 bytes, sealed, 16 a turn", "relay", ("80", "16", "1000")),
    Case("relay, 1,150 bytes, sealed, 16 a turn", "relay", ("1150", "16", "1000")),
)

OWNERS = {
    "str0m": "str0m str0m_proto is sctp_proto dimpl rtp_red sdp",
    "ciphers": "aws_lc aws_lc_rs aws_lc_sys aes sha1 sha2 hmac ctr ghash polyval cipher digest",
    "ours": "sfu mesh wire node forward relay",
}
OWNER_OF = {crate: owner for owner, crates in OWNERS.items() for crate in crates.split()}
ALLOCATION = re.compile(
    r"malloc|calloc|realloc|\bfree\b|cfree|_int_free|__rdl_|__rust_|mi_|unlink_chunk"
)
COPYING = re.compile(r"mem(cpy|move|set|cmp)|bcmp")


class CountFailed(Exception):
    """There is no figure; its text is one plain sentence."""


@dataclass
class Function:
    """Instructions of one function, and of what each caller's calls of it took."""

    own: int = 0
    callers: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def read(profile: str) -> dict[str, Function]:
    """The functions of a callgrind profile, whose format valgrind's manual gives (section 6.6)."""
    names: dict[str, str] = {}
    functions: dict[str, Function] = defaultdict(Function)
    current = callee = ""
    calls = False
    for line in profile.splitlines():
        key, _, value = line.partition("=")
        if key in ("fn", "cfn"):
            number, _, name = value.partition(" ")
            if name:
                names[number] = name
            if key == "fn":
                current = names[number]
            else:
                callee = names[number]
        elif key == "calls":
            calls = True
        elif line and line[0] in "+-*0123456789":
            cost = int(line.split()[1])
            if calls:
                functions[callee].callers[current] += cost
            else:
                functions[current].own += cost
            calls = False
    return functions


def shares(functions: dict[str, Function]) -> dict[str, dict[str, float]]:
    """Instructions by owner and kind: `work`, `allocation`, `copying`.

    What belongs to nobody, as the standard library, is its callers' in proportion.
    """
    sys.setrecursionlimit(10_000)

    @cache
    def owners(name: str, depth: int = 0) -> tuple[tuple[str, float], ...]:
        owner = owner_of(name)
        callers = functions[name].callers
        total = sum(callers.values())
        if owner or not total or depth > 8:
            return ((owner or "other", 1.0),)
        parts: dict[str, float] = defaultdict(float)
        for caller, cost in callers.items():
            for owner, share in owners(caller, depth + 1):
                parts[owner] += share * cost / total
        return tuple(parts.items())

    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, function in list(functions.items()):
        for owner, share in owners(name):
            found[owner][kind_of(name)] += share * function.own
    return found


def owner_of(name: str) -> str | None:
    """Whose a function is, by the crate that its symbol begins with; None if it has no owner."""
    crate = re.match(r"[<&( ]*(?:mut |dyn |impl )?(\w+)", name)
    if crate is None:
        return None
    if crate[1].startswith("aws_lc_"):
        return "ciphers"
    return OWNER_OF.get(crate[1]) if "::" in name else None


def kind_of(name: str) -> str:
    """What a function does."""
    if COPYING.search(name):
        return "copying"
    return "allocation" if ALLOCATION.search(name) else "work"


def count(case: Case, examples: Path, keep: Path | None) -> Row:
    """Run a case under callgrind. Raises `CountFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        out = (keep or Path(folder)) / f"{case.program}-{'-'.join(case.words)}.callgrind"
        command = [
            "valgrind",
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*counted_*",
            f"--callgrind-out-file={out}",
            str(examples / case.program),
            *case.words,
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=RUN_S, check=False
            )
        except FileNotFoundError:
            raise CountFailed("valgrind is not here: apt install valgrind") from None
        except subprocess.TimeoutExpired:
            raise CountFailed(f"{case.name} took over {RUN_S:.0f} s") from None
        if done.returncode:
            raise CountFailed(f"{case.name} ended with {done.returncode}: {done.stderr[-300:]}")
        functions = read(out.read_text())
    packets = json.loads(done.stdout)["forwarded"]
    total = sum(function.own for function in functions.values())
    if not total or not packets:
        raise CountFailed(f"{case.name} counted {total} instructions for {packets} packets")
    found = shares(functions)
    each = {
        owner: {kind: cost / packets for kind, cost in kinds.items()}
        for owner, kinds in found.items()
    }
    by_owner = {owner: sum(kinds.values()) for owner, kinds in each.items()}
    kinds = {k: sum(o.get(k, 0.0) for o in each.values()) for k in ("allocation", "copying")}
    note = [f"{owner} {cost:,.0f}" for owner, cost in sorted(by_owner.items())]
    note += [f"of all {kind} {cost:,.0f}" for kind, cost in kinds.items()]
    return Row(
        what=case.name,
        value=f"{total / packets:,.0f} instructions a packet",
        note=", ".join(note),
        figures={"packets": packets, "instructions": total, "each": each},
    )


def main() -> int:
    """Build, run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--keep", type=Path, help="folder for the profiles (callgrind_annotate)")
    options = parser.parse_args()
    words = ["cargo", "build", "--quiet", "--release", "--examples"]
    if subprocess.run(
        [*words, "-p", "fairlead-sfu", "-p", "fairlead-mesh"], check=False
    ).returncode:
        return 1
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    cases = [case for case in CASES if options.only in case.name]
    try:
        rows = [count(case, target / "release" / "examples", options.keep) for case in cases]
    except CountFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    print_rows(rows, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
