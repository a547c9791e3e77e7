//! What a coordinator answers: where a canary may come out, and where not.

use crate::{Canary, found};

/// Holds an answer against the request that it is for: no secret ever comes back, a payload only
/// to who asks for payloads, a reply only with its transaction.
///
/// # Panics
/// If one does elsewhere.
pub fn check_answer(request: &[u8], head: &str, body: &str) {
    let request = String::from_utf8_lossy(request);
    let mut line = request.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let said = format!("{head}\r\n\r\n{body}");
    let silent = |canary| assert_eq!(found(&said, &[canary]), None, "{method} {target}: {said}");
    silent(Canary::Secret);
    for shown in request.lines().filter_map(|line| line.strip_prefix("authorization: Basic ")) {
        assert!(shown.is_empty() || !said.contains(shown), "{method} {target}: {said}");
    }
    if !(path.ends_with("/payloads") && body.contains("\"payloads\":[")) {
        silent(Canary::Payload);
    }
    let shows_transaction = body.contains("\"branches\":[") || body.contains("\"reply\"");
    let is_of_one = path.starts_with("/v1/transactions") && path != "/v1/transactions";
    if !(shows_transaction && is_of_one) {
        silent(Canary::Reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PAYLOAD, REPLY, SECRET};

    #[test]
    fn a_canary_is_found_where_it_sings() {
        let sings = |request: &str, body: &str| {
            let (request, body) = (request.to_owned(), body.to_owned());
            let check = move || check_answer(request.as_bytes(), "HTTP/1.1 200 OK", &body);
            std::panic::catch_unwind(check).is_err()
        };
        let of_one = "GET /v1/transactions/o-1 HTTP/1.1";
        let branches = format!("{{\"branches\":[{{\"reply\":\"{REPLY}\"}}]}}");
        assert!(!sings(of_one, &branches));
        assert!(sings("GET /v1/transactions?limit=1 HTTP/1.1", &branches));
        assert!(sings("GET /metrics HTTP/1.1", REPLY));
        assert!(sings(of_one, &format!("{{\"detail\":\"{REPLY}\"}}")));
        assert!(sings(of_one, PAYLOAD));
        assert!(sings(of_one, SECRET));
        let payloads = "POST /v1/transactions/o-1/payloads HTTP/1.1";
        assert!(!sings(payloads, &format!("{{\"payloads\":[\"{PAYLOAD}\"]}}")));
        assert!(sings(payloads, &format!("{{\"payloads\":[\"{SECRET}\"]}}")));
        assert!(sings(payloads, &format!("{{\"detail\":\"{PAYLOAD}\"}}")));
        let asked = format!("{of_one}\r\nauthorization: Basic YTpi");
        assert!(sings(&asked, "{\"detail\":\"YTpi is wrong\"}"));
        assert!(!sings(&asked, "{}"));
    }
}
