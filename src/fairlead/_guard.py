"""Tells a compiled library that is older than the Rust sources beside it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_COUNTED = ("Cargo.toml", "build.rs", "src")
_CHECKOUT = Path(__file__).parents[2]
_OVERRIDE = "FAIRLEAD_STALE"


def source_hash(crates: Path) -> str:
    """What ``crates/python/build.rs`` computes over the same files.

    SHA-256 over each file's path below ``crates``, a NUL, its bytes and a NUL, in order of path.
    """
    files: dict[bytes, Path] = {}
    for package in crates.iterdir():
        for counted in _COUNTED:
            path = package / counted
            found = path.rglob("*") if path.is_dir() else [path]
            for file in found:
                if file.is_file() and (file.suffix == ".rs" or file.name == "Cargo.toml"):
                    files[file.relative_to(crates).as_posix().encode()] = file
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name + b"\0" + files[name].read_bytes() + b"\0")
    return digest.hexdigest()


def check(built: str, checkout: Path = _CHECKOUT) -> None:
    """Raise ImportError if ``checkout`` holds other Rust sources than those of hash ``built``.

    An installed wheel has no sources beside it and passes. ``FAIRLEAD_STALE=allow`` in the
    environment lets an old library in, for whoever edits Rust and Python at the same time.
    """
    crates = checkout / "crates"
    if not crates.is_dir() or os.environ.get(_OVERRIDE) == "allow":
        return
    if source_hash(crates) != built:
        raise ImportError(
            f"the compiled library fairlead._core is older than the Rust sources in {crates}: "
            f"run `make setup` (or set {_OVERRIDE}=allow to use it as it is)"
        )
