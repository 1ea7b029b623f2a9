from pathlib import Path

import pytest

from fairlead import _guard


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("crates/a/Cargo.toml", "crates/a/src/lib.rs", "crates/a/src/deep/b.rs"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.delenv("FAIRLEAD_STALE", raising=False)
    return tmp_path


def test_the_hash_follows_every_counted_file(checkout: Path) -> None:
    crates = checkout / "crates"
    seen = {_guard.source_hash(crates)}
    for name in ("a/Cargo.toml", "a/src/deep/b.rs", "a/build.rs", "b/src/lib.rs"):
        path = crates / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed")
        before = len(seen)
        seen.add(_guard.source_hash(crates))
        assert len(seen) == before + 1, name


def test_tests_and_build_outputs_are_not_counted(checkout: Path) -> None:
    crates = checkout / "crates"
    before = _guard.source_hash(crates)
    for name in ("a/tests/x.rs", "a/fuzz/src/x.rs", "a/src/notes.md"):
        path = crates / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed")
    assert _guard.source_hash(crates) == before


def test_a_stale_library_is_refused_with_the_command_to_run(checkout: Path) -> None:
    _guard.check(_guard.source_hash(checkout / "crates"), checkout)
    with pytest.raises(ImportError, match="run `make setup`"):
        _guard.check("0" * 64, checkout)


def test_an_installed_wheel_has_no_sources_and_passes(tmp_path: Path) -> None:
    _guard.check("0" * 64, tmp_path)


def test_whoever_edits_both_may_go_on(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_STALE", "allow")
    _guard.check("0" * 64, checkout)
