"""Rules that no linter keeps: who may know whom, and that each file says what it is."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fairlead"
CRATES = ROOT / "crates"
KNOWS_STR0M = {
    f"sfu/src/{name}.rs" for name in ("transport", "restart", "packet", "codec", "keyframe", "vp8")
}
"""The transport and its ICE restarts, its tables and packets, and the views of VP8's header."""
TRANSPORT = CRATES / "sfu/src/transport"
TEXT = {".md", ".py", ".pyi", ".rs", ".toml", ".ts", ".mjs", ".html", ".css", ".txt", ".csv", ""}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def rust_files() -> list[Path]:
    """Every Rust file that is no test."""
    return sorted(
        path for path in CRATES.glob("*/src/**/*.rs") if "tests" not in (path.stem, *path.parts)
    )


def code(path: Path) -> str:
    """A Rust file without its comments."""
    return re.sub(r"//[^\n]*", "", path.read_text())


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


PYTHON = sorted(SOURCE.rglob("*.py"))
RUST = rust_files()


@pytest.mark.parametrize("path", PYTHON, ids=ids(PYTHON))
def test_every_python_file_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    if not text.strip():
        return  # an empty package
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, f"{path} has no module docstring: one sentence, what it is"


@pytest.mark.parametrize("path", RUST, ids=ids(RUST))
def test_every_rust_file_says_what_it_is(path: Path) -> None:
    assert path.read_text().startswith("//!"), f"{path} must begin with //! and one sentence"


def test_only_the_transport_and_its_tables_know_str0m() -> None:
    knows = {
        str(path.relative_to(CRATES))
        for path in RUST
        if re.search(r"\bstr0m\b", code(path))
        and not {CRATES / "load", TRANSPORT} & set(path.parents)
    }
    assert knows <= KNOWS_STR0M, f"str0m is known to {sorted(knows - KNOWS_STR0M)}"


def test_only_the_python_crate_knows_pyo3() -> None:
    manifests = {
        path.parent.name
        for path in CRATES.glob("*/Cargo.toml")
        if "pyo3" in tomllib.loads(path.read_text()).get("dependencies", {})
    }
    assert manifests == {"python"}


def test_crates_that_decide_depend_on_no_socket_crate() -> None:
    for name in ("wire", "mesh", "sfu", "node", "sim"):
        manifest = tomllib.loads((CRATES / name / "Cargo.toml").read_text())
        forbidden = {"mio", "socket2", "quinn-udp", "tokio", "io"} & set(
            manifest.get("dependencies", {})
        )
        assert not forbidden, f"crates/{name} depends on {sorted(forbidden)}"


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=\[ ;]", line)[0] for line in lines}
    for manifest in CRATES.glob("*/Cargo.toml"):
        tables = tomllib.loads(manifest.read_text())
        for table in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, how in tables.get(table, {}).items():
                if not (isinstance(how, dict) and "path" in how) and not (CRATES / name).is_dir():
                    names.add(name)
    decisions = "\n".join(path.read_text() for path in (ROOT / "docs/decisions").glob("*.md"))
    missing = sorted(name for name in names if f"`{name}`" not in decisions)
    assert not missing, f"no line in docs/decisions for {', '.join(missing)}"


def test_every_dependency_is_pinned_by_name_and_version() -> None:
    pins = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        name = re.split(r"[<>=\[ ;]", line)[0].lower()
        assert name in pinned, f"{name} has no pin in constraints.txt"


def test_the_map_names_every_room_and_crate() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()]
    crates = [path.parent.name for path in CRATES.glob("*/Cargo.toml")]
    missing = [name for name in rooms if f"`{name}/`" not in text]
    missing += [name for name in crates if f"`crates/{name}`" not in text]
    assert not missing, f"ARCHITECTURE.md does not say what {', '.join(missing)} is"


def test_unit_tests_stand_in_rooms_that_exist() -> None:
    for path in (ROOT / "tests" / "unit").rglob("test_*.py"):
        room = path.parent.relative_to(ROOT / "tests" / "unit")
        assert (SOURCE / room).is_dir(), f"{path} mirrors no room: {SOURCE / room} is not there"


def test_no_conflict_marks_and_no_carriage_returns() -> None:
    for path in tracked("*"):
        if path.suffix in TEXT and "fuzz" not in path.parts:
            text = path.read_bytes()
            if b"\0" in text:
                continue
            assert b"\r\n" not in text, f"{path} has carriage returns"
            assert not re.search(rb"^(<{7}|>{7}) ", text, re.M), f"{path} has conflict marks"


def test_nothing_looks_outside_the_checkout() -> None:
    outside = re.compile(
        r"(\.\./){3,}shared|/(?:root|home)/\w|\bregistry\.npmjs|\bfiles\.pythonhosted"
    )
    for path in tracked("crates", "src", "tests", "web/src", "web/e2e", "bench", "Makefile", ".ci"):
        if path == Path(__file__) or path.suffix not in TEXT:
            continue
        found = outside.search(path.read_text(errors="replace"))
        assert found is None, f"{path} names {found[0]!r}"
