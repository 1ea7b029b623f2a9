//! Many datagrams in one system call: sendmmsg, with runs to one destination as GSO segments.
//!
//! The only unsafe code of a node's packet path. `quinn-udp` sends to one destination per call; fan-out
//! to many subscribers needs one call for all of them.
#![expect(
    unsafe_code,
    reason = "sendmmsg and control messages have no safe wrapper"
)]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

use crate::udp::Datagram;

/// Segments in one GSO message: bounds the burst that one destination sees (DESIGN section 4).
pub(crate) const MAX_SEGMENTS: usize = 16;

/// Messages in one sendmmsg call.
pub(crate) const MAX_MESSAGES: usize = 64;

/// The most bytes in one GSO message: an IP packet's 65,535 less the largest headers.
const MAX_GSO_BYTES: usize = 65_000;

/// Room for a UDP_SEGMENT and an IPV6_PKTINFO control message, aligned for `cmsghdr`.
const CONTROL_BYTES: usize = 80;

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

/// How much of a batch went out.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Datagrams that the kernel took, from the start of the batch.
    pub(crate) datagrams: usize,
    /// Why the datagram after those was not taken, and the datagrams of its message.
    pub(crate) stopped: Option<(io::Error, usize)>,
}

/// The number of datagrams from the start of `batch` that fit one GSO message: one destination
/// and source, one size, the last may be shorter.
pub(crate) fn run_length(batch: &[Datagram]) -> usize {
    let [first, rest @ ..] = batch else {
        return 0;
    };
    let size = first.bytes.len();
    let mut run = 1;
    for next in rest {
        let last = batch[run - 1].bytes.len();
        let fits = run < MAX_SEGMENTS
            && (run + 1) * size <= MAX_GSO_BYTES
            && last == size
            && next.bytes.len() <= size
            && next.to == first.to
            && next.source == first.source
            && !next.bytes.is_empty();
        if !fits {
            break;
        }
        run += 1;
    }
    run
}

/// Hands the start of `batch` to the kernel in one call, as many datagrams as fit it.
pub(crate) fn send(socket: BorrowedFd<'_>, batch: &[Datagram], gso: bool) -> Sent {
    let mut addresses: Vec<SockAddr> = Vec::with_capacity(MAX_MESSAGES);
    let mut runs: Vec<usize> = Vec::with_capacity(MAX_MESSAGES);
    let mut slices: Vec<libc::iovec> = Vec::with_capacity(batch.len());
    let mut taken = 0;
    while taken < batch.len() && runs.len() < MAX_MESSAGES {
        let run = if gso { run_length(&batch[taken..]) } else { 1 };
        addresses.push(SockAddr::from(batch[taken].to));
        for datagram in &batch[taken..taken + run] {
            slices.push(libc::iovec {
                iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
                iov_len: datagram.bytes.len(),
            });
        }
        runs.push(run);
        taken += run;
    }

    let mut controls = vec![Control([0; CONTROL_BYTES]); runs.len()];
    let mut messages: Vec<libc::mmsghdr> = Vec::with_capacity(runs.len());
    let mut at = 0;
    for (index, &run) in runs.iter().enumerate() {
        // SAFETY: mmsghdr is plain integers and pointers, for which all zeroes is a valid value.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        let header = &mut message.msg_hdr;
        header.msg_name = addresses[index].as_ptr().cast_mut().cast();
        header.msg_namelen = addresses[index].len();
        header.msg_iov = &raw mut slices[at];
        header.msg_iovlen = run as _;
        let segment = (run > 1).then(|| batch[at].bytes.len() as u16);
        write_control(header, &mut controls[index], segment, batch[at].source);
        messages.push(message);
        at += run;
    }
    if messages.is_empty() {
        return Sent {
            datagrams: 0,
            stopped: None,
        };
    }

    loop {
        // SAFETY: each header points at an address, slices and control bytes that live in this
        // function's vectors, none of which is resized after its address was taken; the slices
        // point into `batch`, borrowed for the call. The kernel only reads through them.
        let count = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(count) = usize::try_from(count) {
            return Sent {
                datagrams: runs[..count].iter().sum(),
                stopped: None,
            };
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Sent {
                datagrams: 0,
                stopped: Some((error, runs[0])),
            };
        }
    }
}

/// Writes the segment size and the source address into a message's control bytes.
fn write_control(
    header: &mut libc::msghdr,
    control: &mut Control,
    segment: Option<u16>,
    source: Option<IpAddr>,
) {
    if segment.is_none() && source.is_none() {
        return;
    }
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES as _;
    let mut used = 0;
    // SAFETY: msg_control points at CONTROL_BYTES aligned bytes.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    let mut push = |level: libc::c_int, kind: libc::c_int, value: &[u8]| {
        let size = value.len() as libc::c_uint;
        // SAFETY: `at` is a header within the control bytes, which CMSG_NXTHDR checks against
        // msg_controllen; the two values that are ever pushed need 24 + 40 of its 80 bytes.
        unsafe {
            debug_assert!(!at.is_null());
            (*at).cmsg_level = level;
            (*at).cmsg_type = kind;
            (*at).cmsg_len = libc::CMSG_LEN(size) as _;
            std::ptr::copy_nonoverlapping(value.as_ptr(), libc::CMSG_DATA(at), value.len());
            at = libc::CMSG_NXTHDR(header, at);
            used += libc::CMSG_SPACE(size) as usize;
        }
    };
    if let Some(segment) = segment {
        push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    match source {
        Some(IpAddr::V4(ip)) => {
            // in_pktinfo: interface index, source address, destination address.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&ip.octets());
            push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(ip)) => {
            // in6_pktinfo: source address, interface index.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&ip.octets());
            push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    header.msg_controllen = used as _;
}

/// Sorts a batch so that each destination's datagrams stand together, in their order.
pub(crate) fn group(batch: &mut [Datagram]) {
    batch.sort_by_key(|datagram| key(datagram.to));
}

fn key(address: SocketAddr) -> (u128, u16) {
    match address.ip() {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), address.port()),
        IpAddr::V6(ip) => (ip.to_bits(), address.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn datagram(to: SocketAddr, size: usize, mark: u8) -> Datagram {
        Datagram {
            to,
            source: None,
            bytes: vec![mark; size],
        }
    }

    fn receiver() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout can be set");
        let address = socket.local_addr().expect("it is bound");
        (socket, address)
    }

    fn receive(socket: &UdpSocket, count: usize) -> Vec<(usize, u8)> {
        let mut buffer = [0; 2048];
        (0..count)
            .map(|_| {
                let size = socket.recv(&mut buffer).expect("a datagram was sent");
                (size, buffer[0])
            })
            .collect()
    }

    #[test]
    fn a_run_ends_at_another_size_destination_or_the_limit() {
        let (_a, to) = receiver();
        let (_b, other) = receiver();
        let same: Vec<_> = (0..40).map(|_| datagram(to, 100, 0)).collect();
        assert_eq!(run_length(&same), MAX_SEGMENTS);
        let shorter = [
            datagram(to, 100, 0),
            datagram(to, 60, 0),
            datagram(to, 60, 0),
        ];
        assert_eq!(run_length(&shorter), 2, "only the last may be shorter");
        assert_eq!(run_length(&[datagram(to, 60, 0), datagram(to, 100, 0)]), 1);
        assert_eq!(
            run_length(&[datagram(to, 60, 0), datagram(other, 60, 0)]),
            1
        );
        assert_eq!(run_length(&[]), 0);
    }

    #[test]
    fn every_datagram_arrives_whole_and_in_order_with_and_without_gso() {
        for gso in [false, true] {
            let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
            let (first, first_address) = receiver();
            let (second, second_address) = receiver();
            let mut batch = Vec::new();
            for mark in 0..20 {
                batch.push(datagram(first_address, 300, mark));
                batch.push(datagram(second_address, 80 + usize::from(mark), mark));
            }
            batch.push(datagram(first_address, 10, 20));
            group(&mut batch);
            let mut at = 0;
            while at < batch.len() {
                let sent = send(sender.as_fd(), &batch[at..], gso);
                assert!(sent.stopped.is_none(), "{sent:?}");
                at += sent.datagrams;
            }
            let mut expected: Vec<_> = (0..20).map(|mark| (300, mark)).collect();
            expected.push((10, 20));
            assert_eq!(receive(&first, 21), expected);
            let expected: Vec<_> = (0..20).map(|m| (80 + usize::from(m), m)).collect();
            assert_eq!(receive(&second, 20), expected);
        }
    }

    #[test]
    fn the_source_address_is_chosen() {
        let sender = UdpSocket::bind("0.0.0.0:0").expect("every address has ports");
        let (socket, to) = receiver();
        for (count, source) in [(1, [127, 0, 0, 9]), (3, [127, 0, 0, 8])] {
            let source = IpAddr::from(source);
            let batch: Vec<_> = (0..count)
                .map(|_| Datagram {
                    to,
                    source: Some(source),
                    bytes: vec![1; 50],
                })
                .collect();
            assert_eq!(send(sender.as_fd(), &batch, true).datagrams, count);
            for _ in 0..count {
                let (_, from) = socket.recv_from(&mut [0; 64]).expect("a datagram was sent");
                assert_eq!(from.ip(), source);
            }
        }
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_is_named() {
        let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        let (_socket, to) = receiver();
        let sent = send(sender.as_fd(), &[datagram(to, 70_000, 0)], true);
        let (error, datagrams) = sent.stopped.expect("no datagram is so large");
        assert_eq!((error.raw_os_error(), datagrams), (Some(libc::EMSGSIZE), 1));
    }
}
