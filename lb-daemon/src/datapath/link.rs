//! Taking a pinned attachment off its interface at once. aya only closes its descriptor, and what a pin
//! holds ends some time after the pin is removed.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Detaches the link that is pinned at `path`.
pub fn detach(path: &Path) -> io::Result<()> {
    let link = open(path)?;
    // SAFETY: a C union of integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.link_detach.link_fd = link.as_raw_fd().unsigned_abs();
    call(bpf_cmd::BPF_LINK_DETACH, &mut attributes).map(|_| ())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a C union of integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let descriptor = call(bpf_cmd::BPF_OBJ_GET, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: both commands read plain values and a path that is still there, and write nothing.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attributes),
            size_of::<bpf_attr>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(answer).map_err(io::Error::other)
}
