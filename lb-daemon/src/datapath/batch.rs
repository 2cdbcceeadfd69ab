//! Reading a map in batches: one system call for thousands of entries, and no trouble with
//! entries that go while they are read (which single steps by key start over for). aya has no batch
//! operations yet.

use std::{io, os::fd::AsFd as _, os::fd::AsRawFd as _};

use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::{
    Error, Result,
    table::{Cells, Plain, Table, Value},
};

/// Entries per system call. The kernel hands over whole hash buckets and refuses a batch that is
/// smaller than one; the chains of a hash table with as many buckets as entries are far shorter.
const BATCH: usize = 4096;

/// Calls `visit` with every entry of `table`.
pub fn walk<K: Value, V: Value>(
    name: &'static str,
    table: &Table<K, V>,
    mut visit: impl FnMut(&K, &V),
) -> Result<()> {
    let mut keys = vec![Plain(K::new_zeroed()); BATCH];
    let mut values = vec![Plain(V::new_zeroed()); BATCH];
    // Where the kernel goes on, in its own terms: at most a key's size or four bytes.
    let mut position = [0_u64; 8];
    let mut started = false;
    loop {
        let map = table.data();
        let (count, end) = look_up(map, &mut position, started, &mut keys, &mut values)
            .map_err(|source| Error::Batch { map: name, source })?;
        for (key, value) in keys.iter().zip(&values).take(count) {
            visit(&key.0, &value.0);
        }
        if end {
            return Ok(());
        }
        started = true;
    }
}

/// Calls `visit` with the first `count` cells of an array, a batch at a time.
pub fn walk_cells<V: Value>(
    name: &'static str,
    array: &Cells<V>,
    count: u32,
    mut visit: impl FnMut(&[Plain<V>]) -> Result<()>,
) -> Result<()> {
    let mut keys = vec![Plain(0_u32); BATCH];
    let mut values = vec![Plain(V::new_zeroed()); BATCH];
    let mut position = [0_u64; 8];
    let mut seen = 0;
    while seen < count as usize {
        let map = array.data();
        let (read, end) = look_up(map, &mut position, seen > 0, &mut keys, &mut values)
            .map_err(|source| Error::Batch { map: name, source })?;
        let wanted = read.min(count as usize - seen);
        visit(&values[..wanted])?;
        seen += read;
        if end {
            break;
        }
    }
    Ok(())
}

/// One batch: how many entries, and whether they were the last.
fn look_up<K: Value, V: Value>(
    map: &MapData,
    position: &mut [u64; 8],
    started: bool,
    keys: &mut [Plain<K>],
    values: &mut [Plain<V>],
) -> io::Result<(usize, bool)> {
    let mut next = [0_u64; 8];
    // SAFETY: a C union of integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.batch.in_batch = if started { position.as_ptr() as u64 } else { 0 };
    attributes.batch.out_batch = next.as_mut_ptr() as u64;
    attributes.batch.keys = keys.as_mut_ptr() as u64;
    attributes.batch.values = values.as_mut_ptr() as u64;
    attributes.batch.count = keys.len().min(values.len()) as u32;
    attributes.batch.map_fd = map.fd().as_fd().as_raw_fd().unsigned_abs();
    // SAFETY: every pointer in the attributes is to a live buffer of the size that the map's types
    // and `count` say, and the kernel writes plain values only.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_LOOKUP_BATCH as libc::c_long,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    let error = (answer < 0).then(io::Error::last_os_error);
    // SAFETY: the kernel has written the count, also along with the end of the table.
    let count = unsafe { attributes.batch.count } as usize;
    *position = next;
    match error {
        None => Ok((count, false)),
        Some(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, true)),
        Some(error) => Err(error),
    }
}
