//! Clients that stay with nodes that drain: the data path is told before the nodes leave the rings.

use lb_common::affinity::MAX_AFFINITIES;
use tracing::{debug, warn};

use super::Controller;
use crate::{
    datapath::{Result, Stage},
    staying::Staying,
};

impl Controller {
    /// Tells the data path of every client that has a flow with a node that drains. Whoever has one before
    /// the node's time is up stays with it: others do not get there any more.
    pub(super) fn keep_clients(&mut self) -> Result<()> {
        let mut confirmed = Staying::of(&self.plan, &self.indexes, &self.drains);
        if confirmed.is_empty() {
            return Ok(());
        }
        let mut half_open = confirmed.clone();
        self.datapath.walk_flows(|pair| {
            let staying = match Stage::of(pair) {
                Stage::HalfOpen => &mut half_open,
                Stage::Confirmed => &mut confirmed,
            };
            staying.note(&pair[0].key, &pair[0].entry);
        })?;
        // Clients that may be forged must not take the room of those that are not.
        let (mut kept, mut left_out) = (0, 0);
        for (key, affinity) in confirmed.affinities().chain(half_open.affinities()) {
            if self.datapath.set_affinity(&key, &affinity)? {
                kept += 1;
            } else {
                left_out += 1;
            }
        }
        debug!("{kept} affinities of clients to nodes that drain");
        if left_out > 0 {
            warn!(
                "{left_out} affinities of clients to nodes that drain do not fit: there is room for {MAX_AFFINITIES}, one for each client and service; the new flows of the others go to other nodes at once"
            );
        }
        Ok(())
    }

    /// Has the data path forget clients of nodes that do not drain any more, or whose time is up.
    pub(super) fn release_clients(&mut self) -> Result<()> {
        let staying = Staying::of(&self.plan, &self.indexes, &self.drains);
        let mut over = Vec::new();
        self.datapath.walk_affinities(|key, affinity| {
            if !staying.confirms(key, affinity) {
                over.push(*key);
            }
        })?;
        for key in over {
            self.datapath.remove_affinity(&key)?;
        }
        Ok(())
    }
}
