//! Who is called, put together from the configuration: at a start, and at each reload.

use crate::config::Config;
use crate::egress::{Destinations, Egress, Rule};
use crate::keyring::Keyring;
use crate::observe::Metrics;
use crate::serve::ServeError;
use crate::spans::Spans;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The way out, to the destinations that the configuration names.
pub(crate) fn egress(
    config: &Config,
    metrics: &Arc<Metrics>,
    spans: Arc<Spans>,
) -> Result<Arc<Egress>, ServeError> {
    let ca = config.tls.ca.as_deref();
    let destinations = destinations(config, ca, &config.destinations, config.keyring())?;
    let reply_bytes_max = config.limits.reply_bytes_max;
    Ok(Egress::watched(destinations, reply_bytes_max, Arc::clone(metrics), spans))
}

/// These destinations, known by these authorities where a rule names none, calls to them signed
/// with the credentials of this ring.
pub(crate) fn destinations(
    config: &Config,
    ca: Option<&Path>,
    rules: &BTreeMap<String, Rule>,
    keyring: Keyring,
) -> Result<Destinations, ServeError> {
    // No more of them can be of use than calls can be in flight.
    let idle_max = config.limits.calls_max;
    let ca = ca.map(Path::to_path_buf);
    let destinations = Destinations::known_by(ca, rules, config.urls(), idle_max);
    let known = !keyring.is_empty();
    let destinations = destinations.map_err(ServeError::Destination)?.signed(keyring);
    destinations.read_authorities()?;
    let unsigned: Vec<&str> = destinations.unsigned().collect();
    if known && !unsigned.is_empty() {
        tracing::warn!(
            destinations = unsigned.join(" "),
            "calls to these destinations are not signed; name a credential after each, or say \
             credential = \"NAME\""
        );
    }
    Ok(destinations)
}
