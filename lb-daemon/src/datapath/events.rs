//! What the data path tells the daemon.

use std::io;

use aya::maps::{Map, MapData, RingBuf};
use lb_common::{event::Event, names};
use tokio::io::unix::AsyncFd;
use zerocopy::FromBytes as _;

use super::{Error, Result};

/// The ring of events, to be waited for.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    /// The events of this ring.
    pub fn new(map: Map) -> Result<Self> {
        let failed = |source| Error::Map {
            map: names::EVENTS,
            source,
        };
        let ring = RingBuf::try_from(map).map_err(failed)?;
        // SAFETY: the ring owns its descriptor, gives the same one out every time, and is dropped with
        // it.
        let ring = unsafe { AsyncFd::register(ring) }.map_err(|source| Error::Batch {
            map: names::EVENTS,
            source: source.into(),
        })?;
        Ok(Self { ring })
    }

    /// Waits for events and returns all there are.
    pub async fn next(&mut self) -> io::Result<Vec<Event>> {
        let mut ready = self.ring.readable_mut().await?;
        let ring = ready.get_inner_mut();
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            if let Ok((event, _)) = Event::read_from_prefix(&item) {
                events.push(event);
            }
        }
        ready.clear_ready();
        Ok(events)
    }
}
