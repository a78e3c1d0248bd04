//! Free TCP ports on 127.0.0.1, reserved among the processes that use this crate.
//!
//! A port given out by the kernel (bind to 0) lies in the range that it also gives to outgoing connections: while a
//! server is down between kill and restart, a client that keeps dialling its port can be given that very port as its
//! own end, connect to itself and keep the server from coming back. So ports are picked below that range, and a lock
//! file per port keeps other test processes from picking it while the server is down.

use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
};

use crate::error::StartError;

/// Below the kernels' ranges for outgoing connections (Linux 32768–60999, macOS and BSD 49152–65535).
const FREE_PORTS: Range<u16> = 20_000..32_000;
const PICK_ATTEMPTS: usize = 200;

/// A port that was free when it was picked, and that no other process using this crate picks while this value lives.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    number: u16,
    /// None when the reservations' folder cannot be used; the port may then be lost in a race, which the start notices.
    _lock: Option<File>,
}

impl ReservedPort {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The `fixed` port; else `last`, if it is free; else any free one.
    pub(crate) fn choose(
        fixed: Option<u16>,
        last: Option<u16>,
        software: &'static str,
    ) -> Result<Self, StartError> {
        if let Some(port) = fixed {
            return Self::take(port).ok_or(StartError::PortTaken { software, port });
        }
        last.and_then(Self::take)
            .or_else(Self::pick)
            .ok_or(StartError::NoFreePort { software })
    }

    /// Any free port.
    pub(crate) fn pick() -> Option<Self> {
        let span = u32::from(FREE_PORTS.end - FREE_PORTS.start);
        (0..PICK_ATTEMPTS).find_map(|_| {
            let mut random = [0; 4];
            aws_lc_rs::rand::fill(&mut random).ok()?;
            let offset = u16::try_from(u32::from_le_bytes(random) % span).ok()?;
            Self::take(FREE_PORTS.start + offset)
        })
    }

    /// This port, if nobody listens on it and no other process has reserved it.
    pub(crate) fn take(number: u16) -> Option<Self> {
        let lock = match lock_file(number) {
            None => None,
            Some(file) => match file.try_lock() {
                Ok(()) => Some(file),
                Err(fs::TryLockError::WouldBlock) => return None,
                Err(fs::TryLockError::Error(_)) => None,
            },
        };
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _lock: lock,
        })
    }
}

fn lock_file(number: u16) -> Option<File> {
    let owner = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("waybill-ports-{owner}"));
    if !folder.is_dir() {
        // Made by another process meanwhile, or not to be made: opening the file below tells.
        let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(format!("{number}.lock")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_out_again_until_it_is_released() {
        let port = ReservedPort::pick().unwrap();
        assert!(FREE_PORTS.contains(&port.number()));
        assert!(ReservedPort::take(port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(ReservedPort::take(number).is_some());
    }

    #[test]
    fn a_port_that_another_program_listens_on_is_not_taken() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(ReservedPort::take(other.local_addr().unwrap().port()).is_none());
    }
}
