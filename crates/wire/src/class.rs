//! How urgent a frame is: what goes first, what is shed first, how long a repair still helps.

use std::time::Duration;

use crate::Malformed;

/// A frame's class, the most urgent first. It goes on the wire as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Wants, acknowledgements, keyframe requests, reliable data: small, and missed by many.
    Control = 0,
    Audio = 1,
    /// Keyframes and the lowest layer: the picture can't do without it.
    Base = 2,
    /// Any other layer.
    Rest = 3,
}

impl Class {
    /// Every class by its number, the most urgent first.
    pub const ALL: [Class; 4] = [Class::Control, Class::Audio, Class::Base, Class::Rest];

    pub fn decode(number: u8) -> Result<Class, Malformed> {
        Class::ALL
            .get(usize::from(number))
            .copied()
            .ok_or(Malformed::Value {
                what: "class",
                value: number.into(),
            })
    }

    /// How much later than the way's own delay a frame may come and still be of use.
    pub const fn budget(self) -> Duration {
        Duration::from_millis(match self {
            Class::Control => 1_000,
            Class::Audio => 120,
            Class::Base | Class::Rest => 250,
        })
    }

    /// As an index.
    pub const fn number(self) -> usize {
        self as usize
    }

    /// For counters and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Control => "control",
            Class::Audio => "audio",
            Class::Base => "base",
            Class::Rest => "rest",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(Class::decode(number as u8).unwrap(), class);
            assert_eq!(class.number(), number);
        }
        assert!(Class::decode(4).is_err());
        assert!(Class::ALL.is_sorted());
    }
}
