//! A map by gid that may grow large without ever pausing for long.

use std::collections::HashMap;
use wholly_core::ids::Gid;

/// So many parts: when one grows, it moves its own entries alone.
const PARTS: usize = 64;

/// A map by gid, in parts. It has no order, so nothing that must repeat may depend on one.
#[derive(Clone, Debug)]
pub(crate) struct GidMap<V> {
    parts: Vec<HashMap<Gid, V>>,
}

impl<V> Default for GidMap<V> {
    fn default() -> Self {
        let parts = std::iter::repeat_with(HashMap::new).take(PARTS).collect();
        GidMap { parts }
    }
}

impl<V> GidMap<V> {
    pub(crate) fn find(&self, gid: &Gid) -> Option<&V> {
        self.parts[self.part(gid)].get(gid)
    }

    pub(crate) fn find_mut(&mut self, gid: &Gid) -> Option<&mut V> {
        let part = self.part(gid);
        self.parts[part].get_mut(gid)
    }

    pub(crate) fn insert(&mut self, gid: Gid, value: V) -> Option<V> {
        let part = self.part(&gid);
        self.parts[part].insert(gid, value)
    }

    pub(crate) fn remove(&mut self, gid: &Gid) -> Option<V> {
        let part = self.part(gid);
        self.parts[part].remove(gid)
    }

    /// The entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Gid, &V)> {
        self.parts.iter().flatten()
    }

    /// The entries, in order of gid.
    pub(crate) fn into_sorted(self) -> Vec<(Gid, V)> {
        let mut entries: Vec<(Gid, V)> = self.parts.into_iter().flatten().collect();
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        entries
    }

    /// A map of the same gids.
    pub(crate) fn map<W>(&self, value: impl Fn(&V) -> W) -> GidMap<W> {
        let mut mapped = GidMap::default();
        for (gid, from) in self.iter() {
            mapped.insert(gid.clone(), value(from));
        }
        mapped
    }

    /// Which part: nothing but speed depends on how evenly this spreads.
    fn part(&self, gid: &Gid) -> usize {
        let bytes = gid.as_str().bytes();
        bytes.fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % PARTS
    }
}
