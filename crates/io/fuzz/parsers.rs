//! What clients send that we read ourselves, on arbitrary bytes; shared by the fuzz targets and by
//! the test that replays their corpus.

pub fn message(data: &[u8]) {
    sfu::fuzzing::message(data);
}

pub fn track_packet(data: &[u8]) {
    sfu::fuzzing::track_packet(data);
}

pub fn keyframe(data: &[u8]) {
    sfu::fuzzing::keyframe(data);
}

/// Frames come out the same however the stream was cut.
pub fn framing(data: &[u8]) {
    let read = |chunk: usize| {
        let mut decoder = io::framing::Decoder::default();
        let mut packets: Vec<Vec<u8>> = Vec::new();
        let mut whole = true;
        for bytes in data.chunks(chunk) {
            if decoder.push(bytes, |p| packets.push(p.to_vec())).is_err() {
                whole = false;
                break;
            }
        }
        (packets, whole)
    };
    assert_eq!(read(data.len().max(1)), read(7));
}

pub fn ufrag(data: &[u8]) {
    if let Some(name) = io::stun::local_ufrag(data) {
        assert!(name.len() < data.len());
    }
}
