//! The dependency descriptor (AV1 RTP specification, appendix A), as far as layers go.
//!
//! The first packet of a keyframe brings the templates that later packets name. It works for any
//! codec, and where the payload is encrypted end to end.

/// Of the specification: more than that is malformed.
const MAX_TEMPLATES: usize = 64;
const MAX_SPATIAL: u8 = 4;
const MAX_TARGETS: usize = 32;
/// Bytes before the extended fields.
const MANDATORY: usize = 3;

/// What a frame is to one decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indication {
    Absent,
    Discardable,
    Switch,
    Required,
}

#[derive(Clone, Debug)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Vec<Indication>,
}

/// The templates of a stream, from its last keyframe on.
#[derive(Clone, Debug)]
pub(crate) struct Structure {
    offset: u8,
    templates: Vec<Template>,
    /// Layers of each decode target: the highest that it has.
    targets: Vec<(u8, u8)>,
}

/// What a packet says of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// From this frame on, temporal layers up to this one may be shown.
    pub(crate) opens: u8,
}

/// Whether this is the first packet of a frame that needs no other: it brings the templates.
pub(crate) fn starts_keyframe(bytes: &[u8]) -> bool {
    let extended = bytes.get(MANDATORY).is_some_and(|flags| flags & 0x80 != 0);
    bytes.first().is_some_and(|first| first & 0x80 != 0) && extended
}

/// The number of the packet's frame.
pub(crate) fn frame_number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]))
}

/// The same descriptor with another frame number.
pub(crate) fn renumbered(bytes: &[u8], number: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(place) = bytes.get_mut(1..MANDATORY) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Read a packet's descriptor; `structure` becomes that which it brings. None: it is malformed, or
/// names a template that never came.
pub(crate) fn read(bytes: &[u8], structure: &mut Option<Structure>) -> Option<Frame> {
    let mut bits = Bits { bytes, at: 0 };
    let (begins, ends) = (bits.flag()?, bits.flag()?);
    let template = bits.take(6)? as u8;
    bits.take(16)?;
    let mut custom = false;
    if bytes.len() > MANDATORY {
        let brings = bits.flag()?;
        let active = bits.flag()?;
        custom = bits.flag()?;
        bits.take(2)?;
        if brings {
            *structure = Some(read_structure(&mut bits)?);
        }
        let targets = structure.as_ref()?.targets.len();
        if active {
            bits.take(targets as u32)?;
        }
    }
    let structure = structure.as_ref()?;
    let at = template.wrapping_sub(structure.offset) % MAX_TEMPLATES as u8;
    let template = structure.templates.get(usize::from(at))?;
    let own;
    let indications = match custom {
        true => {
            own = read_indications(&mut bits, structure.targets.len())?;
            &own
        }
        false => &template.indications,
    };
    let opened = structure.targets.iter().zip(indications);
    let opened = opened.filter(|((spatial, _), indication)| {
        *spatial == template.spatial && **indication == Indication::Switch
    });
    Some(Frame {
        begins,
        ends,
        spatial: template.spatial,
        temporal: template.temporal,
        opens: opened
            .map(|((_, temporal), _)| *temporal)
            .max()
            .unwrap_or(0),
    })
}

fn read_structure(bits: &mut Bits<'_>) -> Option<Structure> {
    let offset = bits.take(6)? as u8;
    let targets = bits.take(5)? as usize + 1;
    let mut templates = Vec::new();
    let (mut spatial, mut temporal) = (0, 0);
    loop {
        if templates.len() == MAX_TEMPLATES || spatial >= MAX_SPATIAL {
            return None;
        }
        templates.push(Template {
            spatial,
            temporal,
            indications: Vec::new(),
        });
        match bits.take(2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => break,
        }
    }
    for template in &mut templates {
        template.indications = read_indications(bits, targets)?;
    }
    // What follows (frame differences, chains, resolutions) is skipped only as far as a
    // descriptor has anything after it that is read here.
    skip_differences(bits, templates.len())?;
    skip_chains(bits, targets, templates.len())?;
    if bits.flag()? {
        bits.take(32 * (u32::from(spatial) + 1))?;
    }
    let highest = |target: usize| {
        let has = |t: &&Template| t.indications[target] != Indication::Absent;
        let of = templates
            .iter()
            .filter(has)
            .map(|t| (t.spatial, t.temporal));
        of.fold((0, 0), |(s, t), (spatial, temporal)| {
            (s.max(spatial), t.max(temporal))
        })
    };
    let targets = (0..targets).map(highest).collect();
    Some(Structure {
        offset,
        templates,
        targets,
    })
}

fn read_indications(bits: &mut Bits<'_>, targets: usize) -> Option<Vec<Indication>> {
    let read = |_| {
        Some(match bits.take(2)? {
            0 => Indication::Absent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        })
    };
    (0..targets.min(MAX_TARGETS)).map(read).collect()
}

fn skip_differences(bits: &mut Bits<'_>, templates: usize) -> Option<()> {
    for _ in 0..templates {
        while bits.flag()? {
            bits.take(4)?;
        }
    }
    Some(())
}

fn skip_chains(bits: &mut Bits<'_>, targets: usize, templates: usize) -> Option<()> {
    let chains = bits.non_symmetric(targets as u32 + 1)?;
    if chains == 0 {
        return Some(());
    }
    for _ in 0..targets {
        bits.non_symmetric(chains)?;
    }
    bits.take(4 * chains * templates as u32)?;
    Some(())
}

/// Reads bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits as a number; of more than 32, the last 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// `ns(n)` of the AV1 bitstream specification, section 4.10.7.
    fn non_symmetric(&mut self, n: u32) -> Option<u32> {
        let width = u32::BITS - n.leading_zeros();
        let short = (1 << width) - n;
        let value = self.take(width - 1)?;
        match value < short {
            true => Some(value),
            false => Some((value << 1) - short + self.take(1)?),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    /// Writes bits, the highest of each byte first.
    #[derive(Default)]
    struct Writer {
        bytes: Vec<u8>,
        bits: usize,
    }

    impl Writer {
        fn put(&mut self, value: u32, count: u32) {
            for bit in (0..count).rev() {
                if self.bits.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                let last = self.bytes.len() - 1;
                self.bytes[last] |= ((value >> bit & 1) as u8) << (7 - self.bits % 8);
                self.bits += 1;
            }
        }
    }

    fn head(begins: bool, ends: bool, template: u8, number: u16) -> Writer {
        let mut w = Writer::default();
        w.put(u32::from(begins), 1);
        w.put(u32::from(ends), 1);
        w.put(u32::from(template), 6);
        w.put(u32::from(number), 16);
        w
    }

    /// A packet of a frame after the keyframe.
    pub(crate) fn plain(begins: bool, ends: bool, template: u8, number: u16) -> Vec<u8> {
        head(begins, ends, template, number).bytes
    }

    /// The first packet of a keyframe, with a structure of `spatial` by `temporal` layers whose
    /// templates stand in that order, one each. A frame of a base temporal layer opens those above.
    pub(crate) fn keyframe(spatial: u8, temporal: u8, number: u16) -> Vec<u8> {
        let mut w = head(true, false, 0, number);
        w.put(0b10000, 5);
        let targets = u32::from(spatial) * u32::from(temporal);
        w.put(0, 6);
        w.put(targets - 1, 5);
        for s in 0..spatial {
            for t in 0..temporal {
                let last = (s + 1, t + 1) == (spatial, temporal);
                let next = match (last, t + 1 == temporal) {
                    (true, _) => 3,
                    (_, true) => 2,
                    _ => 1,
                };
                w.put(next, 2);
            }
        }
        for s in 0..spatial {
            for t in 0..temporal {
                for target in 0..targets as u8 {
                    let (ts, tt) = (target / temporal, target % temporal);
                    let indication = match (ts < s || tt < t, t == 0) {
                        (true, _) => 0,
                        (_, true) => 2,
                        _ => 1,
                    };
                    w.put(indication, 2);
                }
            }
        }
        // No differences, no chains, no resolutions.
        w.put(0, targets);
        let width = u32::BITS - (targets + 1).leading_zeros();
        w.put(0, width - 1);
        w.put(0, 1);
        w.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_and_packets_that_name_its_templates() {
        let mut structure = None;
        let bytes = samples::keyframe(3, 3, 70);
        assert!(starts_keyframe(&bytes));
        assert_eq!(frame_number(&bytes), Some(70));
        let first = read(&bytes, &mut structure).expect("a frame");
        let expected = Frame {
            begins: true,
            ends: false,
            spatial: 0,
            temporal: 0,
            opens: 2,
        };
        assert_eq!(first, expected);
        let known = structure.as_ref().expect("a structure");
        assert_eq!(known.targets.len(), 9);
        assert_eq!((known.targets[0], known.targets[8]), ((0, 0), (2, 2)));
        let plain = samples::plain(true, true, 7, 71);
        assert!(!starts_keyframe(&plain));
        let frame = read(&plain, &mut structure).expect("a frame");
        assert_eq!((frame.spatial, frame.temporal, frame.opens), (2, 1, 0));
        assert_eq!(frame_number(&renumbered(&plain, 5)), Some(5));
        assert!(read(&samples::plain(true, true, 9, 72), &mut structure).is_none());
        assert!(read(&plain, &mut None).is_none(), "no keyframe came");
    }

    #[test]
    fn nonsense_is_refused_without_a_panic() {
        let whole = samples::keyframe(3, 3, 1);
        for end in 0..whole.len() {
            assert!(read(&whole[..end], &mut None).is_none());
        }
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
            let mut structure = None;
            read(&bytes, &mut structure);
            read(&[0xc1, 0, 2], &mut structure);
        }
    }
}
