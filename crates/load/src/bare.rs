//! The yardstick: a loop of sendmmsg to as many loopback sockets, and nothing else.
#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairlead_load::{Failure, report};
use serde::Serialize;
use socket2::{SockAddr, SockRef};

const SOCKET_BUFFER: usize = 1 << 20;

/// Messages in one call: as in the node.
const MAX_MESSAGES: usize = 64;

struct Options {
    subscribers: usize,
    size: usize,
    seconds: f64,
    /// Datagrams to each subscriber in one GSO message.
    segments: usize,
    /// Calls a second for all subscribers; 0: as many as go.
    bursts: f64,
}

#[derive(Serialize)]
struct Figures {
    packets: u64,
    seconds: f64,
    cpu_us_per_packet: f64,
}

pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let options = parse(words)?;
    let receivers = (0..options.subscribers)
        .map(|_| receiver())
        .collect::<io::Result<Vec<_>>>()?;
    let addresses = receivers
        .iter()
        .map(|socket| socket.local_addr().map(SockAddr::from))
        .collect::<io::Result<Vec<_>>>()?;
    let ended = Arc::new(AtomicBool::new(false));
    let drain = std::thread::spawn({
        let ended = ended.clone();
        move || drain(&receivers, &ended)
    });
    let figures = send(&options, &addresses);
    ended.store(true, Ordering::Relaxed);
    // It only reads sockets, which cannot panic.
    let _ = drain.join();
    report::line(&figures?)
}

fn parse(words: &[String]) -> Result<Options, Failure> {
    let mut options = Options {
        subscribers: 50,
        size: 140,
        seconds: 5.0,
        segments: 1,
        bursts: 0.0,
    };
    let usage = |text: String| Failure::Usage(text);
    for pair in words.chunks(2) {
        let [name, value] = pair else {
            return Err(usage(format!("{} needs a value", pair[0])));
        };
        let number: f64 = value
            .parse()
            .ok()
            .filter(|number| (0.0..=1e6).contains(number))
            .ok_or_else(|| usage(format!("{name} is {value:?}: give a number from 0 on")))?;
        match name.as_str() {
            "--subscribers" => options.subscribers = number as usize,
            "--size" => options.size = number as usize,
            "--seconds" => options.seconds = number.min(600.0),
            "--segments" => options.segments = number as usize,
            "--bursts" => options.bursts = number,
            _ => return Err(usage(format!("{name} is no option of bare: see --help"))),
        }
    }
    let fits = options.size * options.segments <= 65_000;
    if options.subscribers == 0 || options.size == 0 || options.segments == 0 || !fits {
        let text =
            "subscribers, size and segments are at least 1, size times segments 65000 at most";
        return Err(usage(text.to_owned()));
    }
    Ok(options)
}

fn receiver() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    // Best effort: the system's own limit may be lower.
    let _ = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

/// Reads everyone's packets, on another thread than the one that is measured.
fn drain(receivers: &[UdpSocket], ended: &AtomicBool) {
    let mut buffer = [0; 2_048];
    while !ended.load(Ordering::Relaxed) {
        for socket in receivers {
            while socket.recv(&mut buffer).is_ok() {}
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(options: &Options, addresses: &[SockAddr]) -> Result<Figures, Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let _ = SockRef::from(&socket).set_send_buffer_size(4 * SOCKET_BUFFER);
    if options.segments > 1 {
        set_segment(&socket, options.size)?;
    }
    let mut payload = vec![0_u8; options.size * options.segments];
    let mut slice = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    let mut messages: Vec<libc::mmsghdr> = addresses
        .iter()
        .map(|address| {
            // SAFETY: mmsghdr is plain integers and pointers: all zeroes is a valid value.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = address.len();
            message.msg_hdr.msg_iov = &raw mut slice;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();

    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(options.seconds);
    let before = cpu_ns()?;
    let (mut sent, mut bursts) = (0_u64, 0_u32);
    loop {
        let now = Instant::now();
        let due = match options.bursts {
            0.0 => now,
            bursts_per_s => begin + Duration::from_secs_f64(f64::from(bursts) / bursts_per_s),
        };
        if due >= end {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(now));
        bursts += 1;
        for part in messages.chunks_mut(MAX_MESSAGES) {
            // SAFETY: each header points at an address of `addresses` and at `slice`, which
            // points into `payload`; all of them outlive the call, which only reads them.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    part.as_mut_ptr(),
                    part.len() as libc::c_uint,
                    0,
                )
            };
            let count = u64::try_from(count).map_err(|_| io::Error::last_os_error())?;
            sent += count;
        }
    }
    let packets = sent * options.segments as u64;
    Ok(Figures {
        packets,
        seconds: begin.elapsed().as_secs_f64(),
        cpu_us_per_packet: (cpu_ns()? - before) as f64 / 1e3 / packets.max(1) as f64,
    })
}

/// Has the kernel cut each message into datagrams of `size` bytes.
fn set_segment(socket: &UdpSocket, size: usize) -> io::Result<()> {
    let value = size as libc::c_int;
    // SAFETY: the option is an int, read during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Nanoseconds that this thread has run, user and system (proc(5), schedstat).
fn cpu_ns() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next();
    first
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| io::Error::other("schedstat of /proc can't be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_checked() {
        let options = parse(&words("--subscribers 3 --bursts 50")).expect("they are fine");
        assert_eq!(
            (options.subscribers, options.bursts, options.size),
            (3, 50.0, 140)
        );
        let refused = |text: &str| match parse(&words(text)) {
            Err(failure) => failure.to_string(),
            Ok(_) => panic!("{text} was taken"),
        };
        assert!(refused("--size x").contains("--size is \"x\""));
        assert!(refused("--size").contains("needs a value"));
        assert!(refused("--sizes 3").contains("no option"));
        assert!(refused("--segments 1000").contains("65000"));
    }

    #[test]
    fn every_subscriber_is_sent_to() {
        let sockets: Vec<_> = (0..3)
            .map(|_| receiver().expect("loopback has ports"))
            .collect();
        let addresses: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().expect("it is bound").into())
            .collect();
        let options = Options {
            subscribers: 3,
            size: 10,
            seconds: 0.01,
            segments: 2,
            bursts: 1.0,
        };
        let figures = send(&options, &addresses).expect("loopback is up");
        assert_eq!(figures.packets, 6);
        for socket in sockets {
            socket.set_nonblocking(false).expect("the socket is ours");
            for _ in 0..2 {
                assert_eq!(socket.recv(&mut [0; 64]).expect("it was sent"), 10);
            }
        }
    }
}
