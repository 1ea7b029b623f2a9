//! Hashes the Rust sources, so that Python can tell a stale library: see `src/fairlead/_guard.py`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What a crate's library is made of: its manifest, its build script and everything in `src`.
const COUNTED: [&str; 3] = ["Cargo.toml", "build.rs", "src"];

fn main() -> io::Result<()> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let crates = package
        .parent()
        .ok_or_else(|| io::Error::other("this package has no parent"))?;
    println!("cargo::rerun-if-changed={}", crates.display());
    println!("cargo::rustc-env=FAIRLEAD_SOURCE_HASH={}", hash(crates)?);
    Ok(())
}

/// SHA-256 over each counted file's path below `crates`, a NUL, its bytes and a NUL, by path.
fn hash(crates: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for package in fs::read_dir(crates)? {
        let package = package?.path();
        for counted in COUNTED {
            collect(&package.join(counted), &mut files)?;
        }
    }
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .filter_map(|file| {
            Some((
                file.strip_prefix(crates).ok()?.to_str()?.to_owned(),
                file.clone(),
            ))
        })
        .collect();
    named.sort();
    let mut digest = Sha256::new();
    for (name, file) in named {
        digest.update(name.replace('\\', "/"));
        digest.update([0]);
        digest.update(fs::read(file)?);
        digest.update([0]);
    }
    Ok(format!("{:x}", digest.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "Cargo.toml" || name.ends_with(".rs") {
            files.push(path.to_owned());
        }
    }
    Ok(())
}
