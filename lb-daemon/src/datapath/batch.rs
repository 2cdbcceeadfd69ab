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
const BATCH: u32 = 4096;

/// Where reading a map goes on, in the kernel's own terms: the next bucket of a hash table, the latest cell of
/// an array.
struct Position(u32);

/// Calls `visit` with every entry of `table`.
pub fn walk<K: Value, V: Value>(
    name: &'static str,
    table: &Table<K, V>,
    mut visit: impl FnMut(&K, &V),
) -> Result<()> {
    let mut keys = vec![Plain(K::new_zeroed()); BATCH as usize];
    let mut values = vec![Plain(V::new_zeroed()); BATCH as usize];
    let mut position = None;
    loop {
        let count = look_up(table.data(), &mut position, &mut keys, &mut values)
            .map_err(|source| Error::Batch { map: name, source })?;
        for (key, value) in keys.iter().zip(&values).take(count) {
            visit(&key.0, &value.0);
        }
        if position.is_none() {
            return Ok(());
        }
    }
}

/// The cells of an array from `first` on, `count` of them or as many as there are.
pub fn read_cells<V: Value>(
    name: &'static str,
    array: &Cells<V>,
    first: u32,
    count: u32,
) -> Result<Vec<Plain<V>>> {
    let mut keys = vec![Plain(0_u32); count as usize];
    let mut values = vec![Plain(V::new_zeroed()); count as usize];
    let mut position = first.checked_sub(1).map(Position);
    let read = look_up(array.data(), &mut position, &mut keys, &mut values)
        .map_err(|source| Error::Batch { map: name, source })?;
    values.truncate(read);
    Ok(values)
}

/// One batch, from `position` on, which becomes that of the next one: how many entries.
fn look_up<K: Value, V: Value>(
    map: &MapData,
    position: &mut Option<Position>,
    keys: &mut [Plain<K>],
    values: &mut [Plain<V>],
) -> io::Result<usize> {
    // Four bytes: a bucket's number for hash tables, a key for arrays.
    let from = position.as_ref().map_or(0, |position| position.0);
    let mut next = 0_u32;
    // SAFETY: a C union of integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.batch.in_batch = position.as_ref().map_or(0, |_| &raw const from as u64);
    attributes.batch.out_batch = &raw mut next as u64;
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
    match error {
        None => *position = Some(Position(next)),
        Some(error) if error.raw_os_error() == Some(libc::ENOENT) => *position = None,
        Some(error) => return Err(error),
    }
    Ok(count)
}
