//! The program on an interface.

use std::{io, path::Path};

use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

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

/// The program on an interface. It comes off when this is dropped, unless it is pinned.
#[derive(Debug)]
pub struct Attached {
    /// How it runs there.
    pub mode: Mode,
    _link: Option<FdLink>,
}

impl Attached {
    /// What an earlier edgelb has attached, and pinned.
    pub const fn earlier(mode: Mode) -> Self {
        Self { mode, _link: None }
    }
}

/// Attaches natively where the driver can, generically elsewhere.
pub fn attach(program: &mut Xdp, name: &str, index: u32, pin: Option<&Path>) -> Result<Attached> {
    let (mode, link) = match try_attach(program, index, XdpMode::Driver) {
        Ok(link) => (Mode::Native, link),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let link = try_attach(program, index, XdpMode::Skb);
            (Mode::Generic, link.map_err(|error| describe(name, &error))?)
        }
        Err(error) => return Err(describe(name, &error)),
    };
    let link = match pin {
        Some(path) => FdLink::from(link.pin(path).map_err(|error| Error::Attach {
            name: name.to_owned(),
            reason: format!("{}: {error}", path.display()),
        })?),
        None => link,
    };
    Ok(Attached {
        mode,
        _link: Some(link),
    })
}

/// Replaces the program of a link; false where its interface is gone.
pub fn replace(program: &mut Xdp, name: &str, link: PinnedLink) -> Result<bool> {
    let failed = |error| describe(name, &error);
    let link = XdpLink::try_from(FdLink::from(link))
        .map_err(io::Error::other)
        .map_err(failed)?;
    let id = match program.attach_to_link(link) {
        Ok(id) => id,
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOLINK) =>
        {
            return Ok(false);
        }
        Err(ProgramError::SyscallError(error)) => return Err(failed(error.io_error)),
        Err(other) => return Err(failed(io::Error::other(other))),
    };
    // The pin holds it from here on.
    program
        .take_link(id)
        .map_err(io::Error::other)
        .map_err(failed)?;
    Ok(true)
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
