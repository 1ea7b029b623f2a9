//! Each parser on arbitrary bytes; shared by the fuzz targets and by the test that replays their
//! corpus.

use wire::{Body, Content, Datagram, Frames, Header, MediaPacket, Part, red_blocks, stun_username};

#[allow(dead_code)] // each fuzz target runs one of these
pub fn all(data: &[u8]) {
    datagram(data);
    body(data);
    frame(data);
    media(data);
    red(data);
    stun(data);
}

pub fn datagram(data: &[u8]) {
    if let Ok(datagram) = Datagram::decode(data) {
        let mut out = Vec::new();
        datagram.encode(&mut out);
        assert!(data.starts_with(&out));
    }
}

pub fn body(data: &[u8]) {
    if let Ok(body) = Body::decode(data) {
        let mut out = Vec::new();
        body.encode(&mut out);
        assert_eq!(out, data);
        if let Body::Frames { frames, .. } = body {
            Frames::new(frames).flatten().for_each(frame);
        }
    }
    Frames::new(data).flatten().for_each(frame);
}

pub fn frame(data: &[u8]) {
    if let Some(part) = Part::decode(data) {
        if let Ok(part) = part {
            let mut out = Vec::new();
            part.encode(&mut out);
            assert_eq!(out, data);
        }
        return;
    }
    let Ok((header, rest)) = Header::decode(data) else {
        return content(data);
    };
    let mut out = Vec::new();
    header.encode(&mut out);
    assert_eq!(out.len(), header.encoded_len());
    assert_eq!(out, data[..data.len() - rest.len()]);
    // Every branch makes a frame that is sound, and together they are the whole.
    let mut stops = 1;
    for branch in header.tree.branches() {
        let onward = header.onward(branch);
        out.clear();
        onward.encode(&mut out);
        let (again, after) = Header::decode(&out).expect("a branch is a tree");
        assert_eq!((again, after), (onward, &[][..]));
        stops += branch.count();
    }
    assert_eq!(stops, header.tree.count());
    content(rest);
}

fn content(data: &[u8]) {
    if let Ok(content) = Content::decode(data) {
        let mut out = Vec::new();
        content.encode(&mut out);
        assert_eq!(out, data);
        if let Content::Media { packet, .. } = content {
            media(packet);
        }
    }
}

pub fn media(data: &[u8]) {
    if let Ok(packet) = MediaPacket::decode(data) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(out, data);
    }
}

pub fn red(data: &[u8]) {
    if let Ok(blocks) = red_blocks(data) {
        let total: usize = blocks.iter().map(|b| b.bytes.len()).sum();
        assert!(total < data.len());
    }
}

pub fn stun(data: &[u8]) {
    if let Some(name) = stun_username(data) {
        assert!(name.len() < data.len());
    }
}
