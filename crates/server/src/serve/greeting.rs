//! What a start says to people: where it listens, and what keeps nobody out.

use crate::config::Config;

/// Whether clients must say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Known,
    Anonymous,
}

/// The line of a coordinator that is found at this URL and keeps its records at this place.
pub(crate) fn text(config: &Config, url: &str, place: &str, clients: Clients) -> String {
    let mut text = format!("listening on {url}, {place}");
    if config.dev {
        text.push_str(
            "; --dev: every loopback URL may be called and nothing is signed, for a \
             developer's machine only",
        );
    }
    if config.listen.ip().is_loopback() {
        return text;
    }
    text.push_str(match (clients, config.listening()) {
        (Clients::Known, Some(_)) => "",
        (Clients::Known, None) => {
            "; --insecure: clients are authenticated, but whoever is on the way can read their \
             secrets; name tls.certificate and tls.key, or let something in front of it speak TLS"
        }
        (Clients::Anonymous, _) => {
            "; --insecure: clients are not authenticated, whoever reaches this address can decide \
             transactions"
        }
    });
    text
}
