//! RTCP of an SSRC of our own, sealed as str0m seals its own (RFC 3711 section 3.4, RFC 7714 section 9).

use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{
    AeadAes128Gcm, AeadAes128GcmCipher, AeadAes256Gcm, AeadAes256GcmCipher, Aes128CmSha1_80,
    Aes128CmSha1_80Cipher, SrtpProvider,
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
/// What the cipher in counter mode writes beyond its end.
const BEYOND: usize = 15;

/// See the module. Its packets are numbered by themselves: no other sender may use its SSRC.
pub(crate) struct Sealer {
    cipher: Cipher,
    index: u32,
}

enum Cipher {
    CounterMode {
        salt: [u8; 14],
        authentication: [u8; 20],
        cipher: Box<dyn Aes128CmSha1_80Cipher>,
    },
    Gcm128([u8; 12], Box<dyn AeadAes128GcmCipher>),
    Gcm256([u8; 12], Box<dyn AeadAes256GcmCipher>),
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
                let cipher = srtp.aead_aes_128_gcm().create_cipher(key, true);
                Cipher::Gcm128(master.derive(srtp, SALT), cipher)
            }
            SrtpProfile::AEAD_AES_256_GCM => {
                let master = Master::<32, 12>::new(keying)?;
                let key = master.derive(srtp, ENCRYPTION);
                let cipher = srtp.aead_aes_256_gcm().create_cipher(key, true);
                Cipher::Gcm256(master.derive(srtp, SALT), cipher)
            }
            _ => return None,
        };
        Some(Self { cipher, index: 0 })
    }

    /// Seal a packet that begins with an RTCP header and its SSRC. None: it is none, or can't be.
    pub(crate) fn seal(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (clear, secret) = packet.split_at_checked(CLEAR)?;
        let ssrc = u32::from_be_bytes(*clear.last_chunk()?);
        let index = self.index;
        self.index = (index + 1) % ENCRYPTED;
        let tail = (ENCRYPTED | index).to_be_bytes();
        let mut sealed = clear.to_vec();
        let associated = || [clear, &tail].concat();
        match &mut self.cipher {
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
            Cipher::Gcm128(salt, cipher) => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                sealed.resize(packet.len() + AeadAes128Gcm::TAG_LEN, 0);
                let output = &mut sealed[CLEAR..];
                cipher.encrypt(&iv, &associated(), secret, output).ok()?;
                sealed.extend(tail);
            }
            Cipher::Gcm256(salt, cipher) => {
                let iv = AeadAes256Gcm::rtcp_iv(*salt, ssrc, index);
                sealed.resize(packet.len() + AeadAes256Gcm::TAG_LEN, 0);
                let output = &mut sealed[CLEAR..];
                cipher.encrypt(&iv, &associated(), secret, output).ok()?;
                sealed.extend(tail);
            }
        }
        Some(sealed)
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

    /// As its receiver does: the clear header, what is encrypted, the index and the tag.
    fn open(sealer: &Sealer, sealed: &[u8]) -> Option<Vec<u8>> {
        let tag_first = !matches!(sealer.cipher, Cipher::CounterMode { .. });
        let ssrc = u32::from_be_bytes(*sealed[4..].first_chunk()?);
        let end = sealed.len() - if tag_first { 4 } else { 14 };
        let index = u32::from_be_bytes(*sealed[end..].first_chunk()?) ^ ENCRYPTED;
        let associated = [&sealed[..8], &sealed[end..end + 4]].concat();
        let srtp = crypto().srtp_provider;
        let secret = &sealed[8..end];
        let mut clear = vec![0; secret.len() + BEYOND];
        let many = match &sealer.cipher {
            Cipher::CounterMode { salt, .. } => {
                let (key, authentication) = (counter_key(), authentication_key());
                let hmac = crypto().sha1_hmac_provider;
                let tag = hmac.sha1_hmac(&authentication, &[&sealed[..end + 4]]);
                if tag[..10] != sealed[end + 4..] {
                    return None;
                }
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, index.into());
                let mut cipher = srtp.aes_128_cm_sha1_80().create_cipher(key, false);
                cipher.decrypt(&iv, secret, &mut clear).ok()?;
                secret.len()
            }
            Cipher::Gcm128(salt, _) => {
                let key = Master::<16, 12>::new(&keying(SrtpProfile::AEAD_AES_128_GCM))?;
                let key = key.derive(srtp, ENCRYPTION);
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                let mut cipher = srtp.aead_aes_128_gcm().create_cipher(key, false);
                cipher
                    .decrypt(&iv, &[&associated], secret, &mut clear)
                    .ok()?
            }
            Cipher::Gcm256(salt, _) => {
                let key = Master::<32, 12>::new(&keying(SrtpProfile::AEAD_AES_256_GCM))?;
                let key = key.derive(srtp, ENCRYPTION);
                let iv = AeadAes256Gcm::rtcp_iv(*salt, ssrc, index);
                let mut cipher = srtp.aead_aes_256_gcm().create_cipher(key, false);
                cipher
                    .decrypt(&iv, &[&associated], secret, &mut clear)
                    .ok()?
            }
        };
        clear.truncate(many);
        Some([&sealed[..8], &clear].concat())
    }

    fn counter_key() -> [u8; 16] {
        let master = Master::<16, 14>::new(&keying(SrtpProfile::AES128_CM_SHA1_80));
        master.unwrap().derive(crypto().srtp_provider, ENCRYPTION)
    }

    fn authentication_key() -> [u8; 20] {
        let master = Master::<16, 14>::new(&keying(SrtpProfile::AES128_CM_SHA1_80));
        master
            .unwrap()
            .derive(crypto().srtp_provider, AUTHENTICATION)
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

    #[test]
    fn what_is_sealed_can_be_opened_once_and_as_it_is() {
        for profile in [
            SrtpProfile::AES128_CM_SHA1_80,
            SrtpProfile::AEAD_AES_128_GCM,
            SrtpProfile::AEAD_AES_256_GCM,
        ] {
            let mut sealer = Sealer::new(&keying(profile)).unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for bytes in (20..200).step_by(4) {
                let packet: Vec<u8> = (0..bytes).map(|n| n as u8 ^ 0x8f).collect();
                let mut sealed = sealer.seal(&packet).unwrap();
                assert!(seen.insert(sealed.clone()));
                assert_eq!(open(&sealer, &sealed).as_ref(), Some(&packet));
                let place = bytes / 2;
                sealed[place] ^= 1;
                assert_eq!(open(&sealer, &sealed), None, "{profile:?}");
            }
            assert_eq!(sealer.seal(&[0x8f, 205, 0, 1]), None);
        }
    }

    #[test]
    fn keys_that_are_too_short_are_none() {
        let mut keying = keying(SrtpProfile::AEAD_AES_256_GCM);
        keying.material.truncate(70);
        assert!(Sealer::new(&keying).is_none());
    }
}
