//! RTCP sealed with the connection's keys (RFC 3711 section 3.4, RFC 7714 section 9): of an SSRC of our own, and
//! what str0m sealed already with something taken out.

use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{
    AeadAes128Gcm, AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80,
    Aes128CmSha1_80Cipher, CryptoError, SrtpProvider,
};

use super::keying::Keying;
use super::setup::crypto;

/// Of the key derivation (RFC 3711 section 4.3.1).
const ENCRYPTION: u8 = 3;
const AUTHENTICATION: u8 = 4;
const SALT: u8 = 5;

/// What of a packet stays clear: the first header and its SSRC.
const CLEAR: usize = 8;
/// The packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// The index, and that the packet is encrypted.
const TAIL: usize = 4;
/// What the cipher in counter mode writes beyond its end.
const BEYOND: usize = 15;

/// See the module. Its packets are numbered by themselves: no other sender may use its SSRC.
pub(crate) struct Sealer {
    cipher: Cipher,
    index: u32,
}

enum Cipher {
    /// What it encrypts twice is as it was.
    CounterMode {
        salt: [u8; 14],
        authentication: [u8; 20],
        cipher: Box<dyn Aes128CmSha1_80Cipher>,
    },
    Gcm {
        salt: [u8; 12],
        seals: Gcm,
        opens: Gcm,
    },
}

/// By the length of their key (bytes * 8).
enum Gcm {
    Key128(Box<dyn AeadAes128GcmCipher>),
    Key256(Box<dyn AeadAes256GcmCipher>),
}

impl Sealer {
    /// None: these keys are of a profile that is not known, or too short for theirs.
    pub(crate) fn new(keying: &Keying) -> Option<Self> {
        let srtp = crypto().srtp_provider;
        let cipher = match keying.profile {
            SrtpProfile::AES128_CM_SHA1_80 => {
                let master = Master::<16, 14>::new(keying)?;
                let key = master.derive(srtp, ENCRYPTION);
                Cipher::CounterMode {
                    salt: master.derive(srtp, SALT),
                    authentication: master.derive(srtp, AUTHENTICATION),
                    cipher: srtp.aes_128_cm_sha1_80().create_cipher(key, true),
                }
            }
            SrtpProfile::AEAD_AES_128_GCM => {
                let master = Master::<16, 12>::new(keying)?;
                let key = master.derive(srtp, ENCRYPTION);
                let gcm = |seals| srtp.aead_aes_128_gcm().create_cipher(key, seals);
                Cipher::Gcm {
                    salt: master.derive(srtp, SALT),
                    seals: Gcm::Key128(gcm(true)),
                    opens: Gcm::Key128(gcm(false)),
                }
            }
            SrtpProfile::AEAD_AES_256_GCM => {
                let master = Master::<32, 12>::new(keying)?;
                let key = master.derive(srtp, ENCRYPTION);
                let gcm = |seals| srtp.aead_aes_256_gcm().create_cipher(key, seals);
                Cipher::Gcm {
                    salt: master.derive(srtp, SALT),
                    seals: Gcm::Key256(gcm(true)),
                    opens: Gcm::Key256(gcm(false)),
                }
            }
            _ => return None,
        };
        Some(Self { cipher, index: 0 })
    }

    /// Seal a packet that begins with an RTCP header and its SSRC. None: it is none, or can't be.
    pub(crate) fn seal(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let index = self.index;
        self.index = (index + 1) % ENCRYPTED;
        self.cipher.seal(index, packet)
    }

    /// What this side sealed, whoever did it, with what `kept` leaves of it (None: all). It takes the other's place:
    /// of the two only one may be sent. None: it stays as it was, or can't be opened.
    pub(crate) fn reseal(
        &mut self,
        sealed: &[u8],
        kept: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let (index, packet) = self.cipher.open(sealed)?;
        let kept = kept(&packet)?;
        match kept.is_empty() {
            true => Some(kept),
            false => self.cipher.seal(index, &kept),
        }
    }
}

impl Cipher {
    fn seal(&mut self, index: u32, packet: &[u8]) -> Option<Vec<u8>> {
        let (clear, secret) = packet.split_at_checked(CLEAR)?;
        let ssrc = u32::from_be_bytes(*clear.last_chunk()?);
        let tail = (ENCRYPTED | index).to_be_bytes();
        let mut sealed = clear.to_vec();
        match self {
            Cipher::CounterMode {
                salt,
                authentication,
                cipher,
            } => {
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, index.into());
                sealed.resize(packet.len() + BEYOND, 0);
                cipher.encrypt(&iv, secret, &mut sealed[CLEAR..]).ok()?;
                sealed.truncate(packet.len());
                sealed.extend(tail);
                let hmac = crypto().sha1_hmac_provider;
                let tag = hmac.sha1_hmac(authentication, &[&sealed]);
                sealed.extend(&tag[..Aes128CmSha1_80::HMAC_TAG_LEN]);
            }
            Cipher::Gcm { salt, seals, .. } => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                sealed.resize(packet.len() + AeadAes128Gcm::TAG_LEN, 0);
                let associated = [clear, &tail].concat();
                let output = &mut sealed[CLEAR..];
                seals.encrypt(&iv, &associated, secret, output).ok()?;
                sealed.extend(tail);
            }
        }
        Some(sealed)
    }

    /// The index and the packet. None: it is none of ours, or not as it was.
    fn open(&mut self, sealed: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (clear, rest) = sealed.split_at_checked(CLEAR)?;
        let ssrc = u32::from_be_bytes(*clear.last_chunk()?);
        let after = match self {
            Cipher::CounterMode { .. } => TAIL + Aes128CmSha1_80::HMAC_TAG_LEN,
            Cipher::Gcm { .. } => TAIL,
        };
        let (secret, after) = rest.split_at_checked(rest.len().checked_sub(after)?)?;
        let (tail, tag) = after.split_at_checked(TAIL)?;
        let index = u32::from_be_bytes(*tail.first_chunk()?) & !ENCRYPTED;
        let mut packet = clear.to_vec();
        packet.resize(CLEAR + secret.len() + BEYOND, 0);
        let output = &mut packet[CLEAR..];
        let many = match self {
            Cipher::CounterMode {
                salt,
                authentication,
                cipher,
            } => {
                let hmac = crypto().sha1_hmac_provider;
                let expected = hmac.sha1_hmac(authentication, &[clear, secret, tail]);
                if !expected.starts_with(tag) {
                    return None;
                }
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, index.into());
                cipher.encrypt(&iv, secret, output).ok()?;
                secret.len()
            }
            Cipher::Gcm { .. } if secret.len() < AeadAes128Gcm::TAG_LEN => return None,
            Cipher::Gcm { salt, opens, .. } => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                opens.decrypt(&iv, &[clear, tail], secret, output).ok()?
            }
        };
        packet.truncate(CLEAR + many);
        Some((index, packet))
    }
}

impl Gcm {
    fn encrypt(
        &mut self,
        iv: &[u8; 12],
        associated: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        match self {
            Self::Key128(cipher) => cipher.encrypt(iv, associated, input, output),
            Self::Key256(cipher) => cipher.encrypt(iv, associated, input, output),
        }
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        associated: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        match self {
            Self::Key128(cipher) => cipher.decrypt(iv, associated, input, output),
            Self::Key256(cipher) => cipher.decrypt(iv, associated, input, output),
        }
    }
}

/// This side's master key and salt.
struct Master<const KEY: usize, const SALT: usize> {
    key: [u8; KEY],
    salt: [u8; SALT],
}

impl<const KEY: usize, const SALT: usize> Master<KEY, SALT> {
    fn new(keying: &Keying) -> Option<Self> {
        let (keys, salts) = keying.material.split_at_checked(2 * KEY)?;
        let (key, salt) = match keying.client {
            true => (keys.first_chunk(), salts.first_chunk()),
            false => (keys.last_chunk(), salts.get(SALT..)?.first_chunk()),
        };
        Some(Self {
            key: *key?,
            salt: *salt?,
        })
    }

    /// A session key (RFC 3711 section 4.3.3; RFC 7714 section 11 for the longer one).
    fn derive<const N: usize>(&self, provider: &dyn SrtpProvider, label: u8) -> [u8; N] {
        let mut input = [0; 16];
        input[..SALT].copy_from_slice(&self.salt);
        input[7] ^= label;
        let mut derived = [0; N];
        for (block, out) in (0u16..).zip(derived.chunks_mut(16)) {
            input[14..].copy_from_slice(&block.to_be_bytes());
            let mut output = [0; 32];
            match KEY {
                16 => provider.srtp_aes_128_ecb_round(&self.key, &input, &mut output),
                _ => provider.srtp_aes_256_ecb_round(&self.key, &input, &mut output),
            }
            out.copy_from_slice(&output[..out.len()]);
        }
        derived
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.map(byte).collect()
    }

    #[test]
    fn keys_are_derived_as_in_the_rfc() {
        // RFC 3711 appendix B.3; its labels are those of RTP.
        let master = Master::<16, 14> {
            key: hex("E1F97A0D3E018BE0D64FA32C06DE4139").try_into().unwrap(),
            salt: hex("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap(),
        };
        let srtp = crypto().srtp_provider;
        let cipher: [u8; 16] = master.derive(srtp, 0);
        assert_eq!(cipher.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let salt: [u8; 14] = master.derive(srtp, 2);
        assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let authentication: [u8; 20] = master.derive(srtp, 1);
        let expected = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4";
        assert_eq!(authentication.to_vec(), hex(expected));
    }

    fn keying(profile: SrtpProfile) -> Keying {
        let bytes = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => 60,
            SrtpProfile::AEAD_AES_128_GCM => 56,
            _ => 88,
        };
        Keying {
            profile,
            material: (0..bytes).collect(),
            client: false,
        }
    }

    const PROFILES: [SrtpProfile; 3] = [
        SrtpProfile::AES128_CM_SHA1_80,
        SrtpProfile::AEAD_AES_128_GCM,
        SrtpProfile::AEAD_AES_256_GCM,
    ];

    #[test]
    fn what_is_sealed_can_be_opened_as_it_is() {
        for profile in PROFILES {
            let mut sealer = Sealer::new(&keying(profile)).unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for (index, bytes) in (20..200).step_by(4).enumerate() {
                let packet: Vec<u8> = (0..bytes).map(|n| n as u8 ^ 0x8f).collect();
                let mut sealed = sealer.seal(&packet).unwrap();
                assert!(seen.insert(sealed.clone()));
                assert!(!sealed.windows(8).any(|part| part == &packet[8..16]));
                let opened = sealer.cipher.open(&sealed);
                assert_eq!(opened, Some((index as u32, packet)));
                for place in [3, bytes / 2, sealed.len() - 1] {
                    sealed[place] ^= 1;
                    assert_eq!(sealer.cipher.open(&sealed), None, "{profile:?}");
                    sealed[place] ^= 1;
                }
            }
            assert_eq!(sealer.seal(&[0x8f, 205, 0, 1]), None);
            for bytes in 0..30 {
                assert_eq!(sealer.cipher.open(&vec![0x80; bytes]), None);
            }
        }
    }

    #[test]
    fn what_is_sealed_anew_keeps_its_number() {
        for profile in PROFILES {
            let [mut str0m, mut ours] = [(); 2].map(|()| Sealer::new(&keying(profile)).unwrap());
            let packet: Vec<u8> = (0..60).collect();
            for number in 0..3 {
                let sealed = str0m.seal(&packet).unwrap();
                assert_eq!(ours.reseal(&sealed, |_| None), None);
                assert_eq!(ours.reseal(&sealed, |_| Some(vec![])), Some(vec![]));
                let anew = ours.reseal(&sealed, |all| Some(all[20..].to_vec()));
                let opened = str0m.cipher.open(&anew.unwrap());
                assert_eq!(opened, Some((number, packet[20..].to_vec())));
            }
        }
    }

    #[test]
    fn keys_that_are_too_short_are_none() {
        let mut keying = keying(SrtpProfile::AEAD_AES_256_GCM);
        keying.material.truncate(70);
        assert!(Sealer::new(&keying).is_none());
    }
}
