//! Closing a node leaves nothing behind. Alone in its process, so that it can count.
#![allow(clippy::disallowed_methods, reason = "the test plays a client")]

use std::io::Write;
use std::net::TcpStream;

use io::{NodeConfig, Shell};

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).expect("this is Linux").count()
}

fn open_and_close(threads: usize) {
    let config = NodeConfig {
        node: 1,
        workers: 3,
        ..NodeConfig::default()
    };
    let shell = Shell::start(&config).expect("loopback has ports");
    let mut client = TcpStream::connect(("127.0.0.1", shell.tcp_port())).expect("it listens");
    client
        .write_all(&[0, 9, 1])
        .expect("the connection is open");
    assert_eq!(entries("/proc/self/task"), threads + 3);
    shell.close();
    // A joined thread leaves /proc a moment after join returns.
    while entries("/proc/self/task") > threads {
        std::thread::yield_now();
    }
}

#[test]
fn no_thread_and_no_descriptor_outlives_a_closed_node() {
    let threads = entries("/proc/self/task");
    open_and_close(threads);
    let descriptors = entries("/proc/self/fd");
    for _ in 0..5 {
        open_and_close(threads);
        assert_eq!(entries("/proc/self/fd"), descriptors);
    }
}
