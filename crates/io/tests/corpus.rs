//! Every file of the fuzz corpus, and each of its beginnings, through its parser.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/parsers.rs"]
#[allow(unreachable_pub)]
mod parsers;

type Parser = fn(&[u8]);

#[test]
fn the_corpus_is_read_without_a_panic() {
    let corpus = manifest_dir().join("fuzz/corpus");
    let parsers: [(&str, Parser); 5] = [
        ("message", parsers::message),
        ("track_packet", parsers::track_packet),
        ("keyframe", parsers::keyframe),
        ("framing", parsers::framing),
        ("ufrag", parsers::ufrag),
    ];
    for (name, parse) in parsers {
        let mut files = 0;
        for file in std::fs::read_dir(corpus.join(name)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for end in 0..=bytes.len() {
                parse(&bytes[..end]);
            }
            files += 1;
        }
        assert!(files >= 2, "the corpus of {name} is missing");
    }
}

/// As cargo says now: clones share a build cache, and its binaries may come from another.
fn manifest_dir() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}
