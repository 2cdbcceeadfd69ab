//! The program on an interface.

use std::io;

use aya::programs::{ProgramError, Xdp, XdpMode, links::FdLink};

use super::{Error, Result};

/// How the program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel has made anything of the frame.
    Native,
    /// After the driver, on a socket buffer: works everywhere, several times slower.
    Generic,
}

impl Mode {
    /// `native` or `generic`, as in `edgelb status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The program on an interface; it comes off when this is dropped.
#[derive(Debug)]
pub struct Attached {
    /// How it runs there.
    pub mode: Mode,
    _link: FdLink,
}

/// Attaches natively where the driver can, generically elsewhere.
pub fn attach(program: &mut Xdp, name: &str, index: u32) -> Result<Attached> {
    match try_attach(program, index, XdpMode::Driver) {
        Ok(link) => Ok(Attached {
            mode: Mode::Native,
            _link: link,
        }),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            match try_attach(program, index, XdpMode::Skb) {
                Ok(link) => Ok(Attached {
                    mode: Mode::Generic,
                    _link: link,
                }),
                Err(error) => Err(describe(name, &error)),
            }
        }
        Err(error) => Err(describe(name, &error)),
    }
}

fn try_attach(program: &mut Xdp, index: u32, mode: XdpMode) -> io::Result<FdLink> {
    let id = program
        .attach_to_if_index(index, mode)
        .map_err(|error| match error {
            ProgramError::SyscallError(error) => error.io_error,
            other => io::Error::other(other),
        })?;
    let link = program.take_link(id).map_err(io::Error::other)?;
    // aya falls back to netlink where the kernel refuses a link. That attachment would outlive a crash
    // of the daemon with nobody to own it.
    FdLink::try_from(link).map_err(io::Error::other)
}

fn describe(name: &str, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => Error::Busy(name.to_owned()),
        Some(libc::EPERM) => Error::Attach {
            name: name.to_owned(),
            reason: "not permitted; edgelb needs root, or CAP_BPF and CAP_NET_ADMIN".to_owned(),
        },
        Some(libc::ENODEV) => Error::Attach {
            name: name.to_owned(),
            reason: "there is no such interface".to_owned(),
        },
        _ => Error::Attach {
            name: name.to_owned(),
            reason: format!(
                "{error}; large receive offload must be off (ethtool -K {name} lro off) and the MTU must fit one page"
            ),
        },
    }
}
