//! How the network spells it: headers, capability, the JSON of v1, and the table of codes.
//!
//! Reading order: the small spellings (`words`, `headers`, `capability`), who somebody is
//! (`credential`, `signature`), the bodies (`v1`), what an asker hears when it is wrong (`edge`,
//! `problem`).

pub mod base64;
pub mod capability;
pub mod credential;
pub mod edge;
pub mod headers;
pub mod nearest;
pub mod problem;
pub mod signature;
pub mod trace;
pub mod v1;
pub mod words;
