//! Maps with the types of `lb-common`.

use std::{
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Pod,
    maps::{Array, HashMap, IterableMap as _, Map, MapData, MapError, PerCpuArray, PerCpuValues},
};
use memmap2::MmapOptions;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Error, Result};

/// A value whose bytes are all there is to it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Plain<T>(pub T);

// SAFETY: `FromBytes` and `IntoBytes` say that every bit pattern is a value and that there is no
// padding, which is what `Pod` asks for.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Pod for Plain<T> {}

/// What fits into a map.
pub trait Value: FromBytes + IntoBytes + Immutable + Copy + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Value for T {}

/// A hash map.
pub struct Table<K: Value, V: Value> {
    name: &'static str,
    map: HashMap<MapData, Plain<K>, Plain<V>>,
}

impl<K: Value, V: Value> Table<K, V> {
    pub fn new(name: &'static str, map: Map) -> Result<Self> {
        let map = map
            .try_into()
            .map_err(|source| Error::Map { map: name, source })?;
        Ok(Self { name, map })
    }

    pub const fn of(name: &'static str, map: HashMap<MapData, Plain<K>, Plain<V>>) -> Self {
        Self { name, map }
    }

    pub fn get(&self, key: &K) -> Result<Option<V>> {
        match self.map.get(&Plain(*key), 0) {
            Ok(value) => Ok(Some(value.0)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    pub fn set(&mut self, key: &K, value: &V) -> Result<()> {
        self.map
            .insert(Plain(*key), Plain(*value), 0)
            .map_err(|source| self.error(source))
    }

    /// The same, but it is no error that the map is full: that is told by false.
    pub fn set_if_room(&mut self, key: &K, value: &V) -> Result<bool> {
        match self.map.insert(Plain(*key), Plain(*value), 0) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::E2BIG) =>
            {
                Ok(false)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    /// Removes a key; that it is gone already is as good.
    pub fn remove(&mut self, key: &K) -> Result<()> {
        match self.map.remove(&Plain(*key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            Err(source) => Err(self.error(source)),
        }
    }

    pub fn data(&self) -> &MapData {
        self.map.map()
    }

    fn error(&self, source: MapError) -> Error {
        Error::Map {
            map: self.name,
            source,
        }
    }
}

/// An array.
pub struct Cells<V: Value> {
    name: &'static str,
    map: Array<MapData, Plain<V>>,
}

impl<V: Value> Cells<V> {
    pub fn new(name: &'static str, map: Map) -> Result<Self> {
        let map = map
            .try_into()
            .map_err(|source| Error::Map { map: name, source })?;
        Ok(Self { name, map })
    }

    pub fn get(&self, cell: u32) -> Result<V> {
        self.map
            .get(&cell, 0)
            .map(|value| value.0)
            .map_err(|source| Error::Map {
                map: self.name,
                source,
            })
    }

    /// How many cells there are.
    pub fn len(&self) -> u32 {
        self.map.len()
    }

    pub fn data(&self) -> &MapData {
        self.map.map()
    }

    /// Cells from `first` on, `count` of them, of an array that can be mapped. The data path changes them at the
    /// same time: a cell may be half of what it was and half of what it is.
    pub fn read_mapped(&self, first: u32, count: u32) -> Result<Vec<V>> {
        let size = size_of::<V>();
        let window = MmapOptions::new()
            .offset(u64::from(first) * size as u64)
            .len(count as usize * size)
            .map_raw_read_only(self.data().fd().as_fd().as_raw_fd())
            .map_err(|source| Error::Batch {
                map: self.name,
                source,
            })?;
        let cells = window.as_ptr().cast::<V>();
        let cells = (0..count as usize).map(|cell| {
            // SAFETY: within the window, whose beginning is aligned as the cells of the array are; every bit pattern
            // is a value; volatile, because the data path writes there.
            unsafe { cells.add(cell).read_volatile() }
        });
        Ok(cells.collect())
    }

    pub fn set(&mut self, cell: u32, value: &V) -> Result<()> {
        self.map
            .set(cell, Plain(*value), 0)
            .map_err(|source| Error::Map {
                map: self.name,
                source,
            })
    }
}

/// An array with a copy per CPU.
pub struct CpuCells<V: Value> {
    name: &'static str,
    map: PerCpuArray<MapData, Plain<V>>,
    value: PhantomData<V>,
}

impl<V: Value> CpuCells<V> {
    pub fn new(name: &'static str, map: Map) -> Result<Self> {
        let map = map
            .try_into()
            .map_err(|source| Error::Map { map: name, source })?;
        Ok(Self {
            name,
            map,
            value: PhantomData,
        })
    }

    /// Sets the copies of all CPUs to zero.
    pub fn clear(&mut self, cell: u32) -> Result<()> {
        let copies = self.read(cell)?.len();
        self.write(cell, vec![Plain(V::new_zeroed()); copies])
    }

    /// The copies of all CPUs.
    pub fn get(&self, cell: u32) -> Result<Vec<V>> {
        Ok(self.read(cell)?.iter().map(|value| value.0).collect())
    }

    fn read(&self, cell: u32) -> Result<PerCpuValues<Plain<V>>> {
        self.map.get(&cell, 0).map_err(|source| self.error(source))
    }

    fn write(&mut self, cell: u32, values: Vec<Plain<V>>) -> Result<()> {
        let written = PerCpuValues::try_from(values)
            .map_err(MapError::from)
            .and_then(|values| self.map.set(cell, values, 0));
        written.map_err(|source| self.error(source))
    }

    fn error(&self, source: MapError) -> Error {
        Error::Map {
            map: self.name,
            source,
        }
    }
}

impl CpuCells<u64> {
    /// Adds to the first CPU's copy: nobody else may write to this cell.
    pub fn add(&mut self, cell: u32, number: u64) -> Result<()> {
        let mut values: Vec<Plain<u64>> = self.read(cell)?.to_vec();
        if let Some(first) = values.first_mut() {
            first.0 += number;
        }
        self.write(cell, values)
    }
}
