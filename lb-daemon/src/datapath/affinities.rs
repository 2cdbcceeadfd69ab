//! Clients that stay with nodes that drain, as the data path sees them.

use lb_common::{
    affinity::{Affinity, AffinityKey},
    names,
};

use super::{Datapath, Result, batch::walk};

impl Datapath {
    /// Has the new flows of a client go to a node that drains. False where there is no room for one more.
    pub fn set_affinity(&mut self, key: &AffinityKey, affinity: &Affinity) -> Result<bool> {
        self.affinities.set_if_room(key, affinity)
    }

    /// Has the new flows of a client find their node as those of others do.
    pub fn remove_affinity(&mut self, key: &AffinityKey) -> Result<()> {
        self.affinities.remove(key)
    }

    /// Calls `visit` with every client that stays with a node.
    pub fn walk_affinities(&self, visit: impl FnMut(&AffinityKey, &Affinity)) -> Result<()> {
        walk(names::AFFINITIES, &self.affinities, visit)
    }
}
