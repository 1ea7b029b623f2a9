//! Opening the sockets of a node.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Asked for each way on every UDP socket; the system may grant less.
const UDP_BUFFER: usize = 4 << 20;

/// What the kernel may hold for one slow TCP client, beside our own queue.
const TCP_SEND_BUFFER: usize = 256 << 10;

const TCP_BACKLOG: i32 = 128;

/// One UDP socket for each worker, all on the same port. The kernel spreads clients over them.
///
/// The first is bound without SO_REUSEPORT, so that a port which another process holds is
/// refused instead of quietly shared with it.
pub(crate) fn udp_group(
    ip: IpAddr,
    port: u16,
    workers: u16,
) -> io::Result<Vec<std::net::UdpSocket>> {
    let first = udp(ip)?;
    bind(&first, ip, port, "UDP")?;
    first.set_reuse_port(true)?;
    let port = local_port(&first)?;
    let mut sockets = vec![first.into()];
    for _ in 1..workers {
        let socket = udp(ip)?;
        socket.set_reuse_port(true)?;
        bind(&socket, ip, port, "UDP")?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// UDP sockets on `count` ports in a row from `port`, or on any if that is 0.
pub(crate) fn udp_row(ip: IpAddr, port: u16, count: u8) -> io::Result<Vec<std::net::UdpSocket>> {
    let ports = (0..u16::from(count)).map(|i| if port == 0 { 0 } else { port + i });
    let open = |port| {
        let socket = udp(ip)?;
        bind(&socket, ip, port, "UDP")?;
        Ok(socket.into())
    };
    ports.map(open).collect()
}

/// The listener of ICE-TCP (RFC 6544, passive candidates).
pub(crate) fn tcp_listener(ip: IpAddr, port: u16) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address((ip, 0).into()),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    bind(&socket, ip, port, "TCP")?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

/// Settings of an accepted client: what is queued goes out at once, and little of it is queued.
pub(crate) fn tune_tcp(stream: &mio::net::TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(TCP_SEND_BUFFER)
}

/// An error of accept that is about the connection, not about us.
pub(crate) fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

pub(crate) fn local_port(socket: &Socket) -> io::Result<u16> {
    let address = socket.local_addr()?.as_socket();
    address
        .map(|address| address.port())
        .ok_or_else(|| io::Error::other("the socket has no port"))
}

fn udp(ip: IpAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address((ip, 0).into()),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    // Best effort: the system's own limit may be lower, and that is no reason not to start.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    Ok(socket)
}

fn bind(socket: &Socket, ip: IpAddr, port: u16, protocol: &str) -> io::Result<()> {
    let address = SocketAddr::new(ip, port);
    socket.bind(&address.into()).map_err(|error| {
        let hint = "choose another port or address, or 0 to let the system choose the port";
        let text = format!("{protocol} address {address} can't be bound ({error}): {hint}");
        io::Error::new(error.kind(), text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn workers_share_one_port_and_the_kernel_spreads_clients_over_them() {
        let sockets = udp_group(LOOPBACK, 0, 4).expect("loopback has ports");
        let address = sockets[0].local_addr().expect("it is bound");
        let mut used = HashSet::new();
        for _ in 0..64 {
            let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
            client.send_to(b"x", address).expect("loopback is up");
        }
        for (index, socket) in sockets.iter().enumerate() {
            assert_eq!(socket.local_addr().expect("it is bound"), address);
            socket.set_nonblocking(false).expect("the socket is ours");
            let wait = Some(Duration::from_millis(200));
            socket.set_read_timeout(wait).expect("the socket is ours");
            while socket.recv(&mut [0; 8]).is_ok() {
                used.insert(index);
            }
        }
        assert!(used.len() > 1, "64 clients all went to {used:?}");
    }

    #[test]
    fn a_row_of_ports_is_consecutive_or_any() {
        let any = udp_row(LOOPBACK, 0, 4).expect("loopback has ports");
        let ports: HashSet<u16> = any
            .iter()
            .map(|socket| socket.local_addr().expect("it is bound").port())
            .collect();
        assert_eq!(ports.len(), 4);
        let taken = *ports.iter().next().expect("there are four");
        let error = udp_row(LOOPBACK, taken, 2).expect_err("the first is taken");
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        // A row that is free; others may take a port of it between two looks.
        let row = (20_000..60_000).step_by(7).find_map(|first| {
            let row = udp_row(LOOPBACK, first, 4).ok()?;
            Some((first, row))
        });
        let (first, row) = row.expect("loopback has four free ports in a row");
        for (i, socket) in row.iter().enumerate() {
            let port = socket.local_addr().expect("it is bound").port();
            assert_eq!(port, first + i as u16);
        }
    }

    #[test]
    fn a_taken_port_is_refused_with_its_address() {
        let held = udp_group(LOOPBACK, 0, 2).expect("loopback has ports");
        let port = held[0].local_addr().expect("it is bound").port();
        let error = udp_group(LOOPBACK, port, 2).expect_err("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );

        let held = tcp_listener(LOOPBACK, 0).expect("loopback has ports");
        let port = held.local_addr().expect("it is bound").port();
        let error = tcp_listener(LOOPBACK, port).expect_err("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
