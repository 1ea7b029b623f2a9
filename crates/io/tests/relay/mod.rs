//! A TURN client on blocking sockets, over UDP, TCP and TLS: allocates, binds a channel to the
//! node's media, and from there on carries packets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use turn_types::attribute::{ChannelNumber, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND};
use turn_types::stun::attribute::{Nonce, Realm, Username};
use turn_types::stun::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials,
    MessageWriteVec,
};
use turn_types::stun::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};

pub(crate) const SECRET: &[u8] = b"of the test";
const CHANNEL: u16 = 0x4000;
/// 2100: no test outlives it.
const NAME: &str = "4102444800:PA_1";

pub(crate) enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

pub(crate) struct Relay {
    socket: Socket,
    splitter: turn::Splitter,
    pub(crate) relayed: SocketAddr,
}

/// A client inside TLS that trusts `certificate` alone.
pub(crate) fn tls(address: SocketAddr, certificate: &CertificateDer<'static>) -> Socket {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    Socket::Tls(Box::new(rustls::StreamOwned::new(connection, stream)))
}

impl Relay {
    pub(crate) fn open(socket: Socket, media: SocketAddr) -> Relay {
        let mut relay = Relay {
            socket,
            splitter: turn::Splitter::default(),
            relayed: media,
        };
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        request.add_attribute(&udp).unwrap();
        let challenge = relay.ask(&request.finish());
        let challenge = Message::from_bytes(&challenge).unwrap();
        let realm = challenge.attribute::<Realm>().unwrap();
        let nonce = challenge.attribute::<Nonce>().unwrap();

        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        request.add_attribute(&udp).unwrap();
        let allocated = relay.ask(&sign(request, &realm, &nonce));
        let allocated = Message::from_bytes(&allocated).unwrap();
        let relayed = allocated.attribute::<XorRelayedAddress>();
        relay.relayed = relayed
            .unwrap_or_else(|error| panic!("{allocated:?}: {error}"))
            .addr(allocated.transaction_id());

        let mut request = Message::builder_request(CHANNEL_BIND, MessageWriteVec::new());
        let peer = XorPeerAddress::new(media, request.transaction_id());
        let attributes: [&dyn AttributeWrite; 2] = [&ChannelNumber::new(CHANNEL), &peer];
        for attribute in attributes {
            request.add_attribute(attribute).unwrap();
        }
        let bound = relay.ask(&sign(request, &realm, &nonce));
        assert!(
            Message::from_bytes(&bound)
                .unwrap()
                .has_class(turn_types::stun::message::MessageClass::Success)
        );
        relay.stop_waiting();
        relay
    }

    pub(crate) fn send(&mut self, packet: &[u8]) {
        let mut message = vec![0; packet.len() + 4];
        ChannelData::new(CHANNEL, packet).write_into_unchecked(&mut message);
        if !matches!(self.socket, Socket::Udp(_)) {
            message.resize(message.len().next_multiple_of(4), 0);
        }
        self.write(&message);
    }

    /// What came through meanwhile.
    pub(crate) fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(messages) = self.read() {
            for message in messages {
                let data = ChannelData::parse(&message).unwrap();
                assert_eq!(data.id(), CHANNEL);
                packets.push(data.data().to_vec());
            }
        }
        packets
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.write(request);
        loop {
            if let Some(answer) = self.read().and_then(|mut messages| messages.pop()) {
                return answer;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.socket {
            Socket::Udp(socket) => {
                let _ = socket.send(bytes);
            }
            Socket::Tcp(stream) => stream.write_all(bytes).unwrap(),
            Socket::Tls(stream) => {
                stream.write_all(bytes).unwrap();
                stream.flush().unwrap();
            }
        }
    }

    /// Messages that one read brought; None if nothing waits.
    fn read(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut buffer = [0; 4_096];
        let read = match &mut self.socket {
            Socket::Udp(socket) => {
                return match socket.recv(&mut buffer) {
                    Ok(count) => Some(vec![buffer[..count].to_vec()]),
                    Err(_) => None,
                };
            }
            Socket::Tcp(stream) => stream.read(&mut buffer),
            Socket::Tls(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => panic!("the node closed the connection"),
            Ok(count) => {
                let mut messages = Vec::new();
                self.splitter
                    .push(&buffer[..count], |message| messages.push(message.to_vec()))
                    .unwrap();
                Some(messages)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn stop_waiting(&mut self) {
        match &mut self.socket {
            Socket::Udp(socket) => socket.set_nonblocking(true).unwrap(),
            Socket::Tcp(stream) => stream.set_nonblocking(true).unwrap(),
            Socket::Tls(stream) => stream.sock.set_nonblocking(true).unwrap(),
        }
    }
}

fn sign(mut request: MessageWriteVec, realm: &Realm, nonce: &Nonce) -> Vec<u8> {
    let name = Username::new(NAME).unwrap();
    let attributes: [&dyn AttributeWrite; 3] = [&name, realm, nonce];
    for attribute in attributes {
        request.add_attribute(attribute).unwrap();
    }
    let key = MessageIntegrityCredentials::LongTerm(LongTermKeyCredentials::new(
        NAME.to_owned(),
        turn::password(NAME, SECRET),
        realm.realm().to_owned(),
    ));
    request
        .add_message_integrity(&key, IntegrityAlgorithm::Sha1)
        .unwrap();
    request.finish()
}
