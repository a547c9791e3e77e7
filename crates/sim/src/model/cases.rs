//! Cases: what is known of every gid, found by one look-up, and gone through in the order in which
//! gids were first heard of.

use super::Case;
use crate::trace::Fnv;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use wholly_core::ids::Gid;

/// All of them. None is ever taken out.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    places: HashMap<Gid, usize, BuildHasherDefault<Fnv>>,
    cases: Vec<(Gid, Case)>,
}

impl Cases {
    /// The case of a gid, if anything is known of it.
    pub fn get(&self, gid: &Gid) -> Option<&Case> {
        self.places.get(gid).map(|place| &self.cases[*place].1)
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, gid: &Gid) -> Option<&mut Case> {
        self.places.get(gid).map(|place| &mut self.cases[*place].1)
    }

    /// The same; if nothing was known of it, something is from here on.
    pub fn entry(&mut self, gid: &Gid) -> &mut Case {
        let place = match self.places.get(gid) {
            Some(place) => *place,
            None => {
                self.places.insert(gid.clone(), self.cases.len());
                self.cases.push((gid.clone(), Case::default()));
                self.cases.len() - 1
            }
        };
        &mut self.cases[place].1
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Each with its gid.
    pub fn iter(&self) -> impl Iterator<Item = (&Gid, &Case)> {
        self.cases.iter().map(|(gid, case)| (gid, case))
    }

    /// Each.
    pub fn values(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().map(|(_, case)| case)
    }

    /// Each, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Case> {
        self.cases.iter_mut().map(|(_, case)| case)
    }
}
