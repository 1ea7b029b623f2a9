//! What the emulator asks of Linux that no crate of ours wraps: TUN devices, a timer finer than
//! epoll's milliseconds, and to run before others.
//!
//! The crates that name a TUN device bring routing and async runtimes along, for one ioctl.
#![expect(
    unsafe_code,
    reason = "TUNSETIFF, timerfd and sched_setscheduler have no safe wrapper here"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use std::time::Instant;

use crate::clock;

/// Bytes of a device's name, without the NUL after it.
pub(crate) const MAX_NAME: usize = libc::IFNAMSIZ - 1;

/// Of the real-time priorities (1 to 99): before every ordinary thread, after the kernel's own.
const PRIORITY: libc::c_int = 10;

/// Makes a TUN device in the caller's network namespace; the device lives as long as the file.
/// Each read and each write is one IP packet; neither blocks.
pub(crate) fn open_tun(name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = options
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: ifreq is bytes, integers and pointers, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name[..MAX_NAME].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one ifreq, which `request` is;
    // its name ends in a NUL, for the last byte was never written.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// A timer that epoll waits for, to the nanosecond as far as the kernel can (timerfd).
pub(crate) struct Timer {
    fd: OwnedFd,
    /// What it waits for; None once it rang.
    due: Option<Instant>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes two integers and returns a new descriptor or -1.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Timer { fd, due: None })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Lets it ring at a time, at once if that is over. None leaves it as it is: a ring for
    /// nothing does no harm.
    pub(crate) fn set(&mut self, due: Option<Instant>) -> io::Result<()> {
        let Some(due) = due.filter(|due| self.due != Some(*due)) else {
            return Ok(());
        };
        let wait = due.saturating_duration_since(clock::now());
        // SAFETY: itimerspec is integers, for which all zeroes is a valid value: it rings once.
        let mut setting: libc::itimerspec = unsafe { mem::zeroed() };
        setting.it_value.tv_sec =
            libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX);
        // All zeroes would stop it.
        setting.it_value.tv_nsec = wait.subsec_nanos().max(1) as _;
        // SAFETY: the descriptor is a timer's; the kernel reads `setting` and is given nowhere to
        // write the setting before.
        let done =
            unsafe { libc::timerfd_settime(self.fd(), 0, &raw const setting, ptr::null_mut()) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        self.due = Some(due);
        Ok(())
    }

    /// It rang. Nothing is read from it: readiness is reported once, and setting it starts anew.
    pub(crate) fn rang(&mut self) {
        self.due = None;
    }
}

/// Lets this thread run before ordinary ones (SCHED_FIFO). The kernel's own bound on real-time
/// threads, 95 % of a core, stands.
pub(crate) fn go_first() -> io::Result<()> {
    // SAFETY: sched_param is integers, for which all zeroes is a valid value.
    let mut parameters: libc::sched_param = unsafe { mem::zeroed() };
    parameters.sched_priority = PRIORITY;
    // SAFETY: 0 is the calling thread; the kernel only reads the parameters.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
