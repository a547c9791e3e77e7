//! The coordinator as a command sees it: asks it by HTTP, and turns what is no answer into a
//! complaint.

use crate::arguments::Reading;
use crate::complaint::{Complaint, Kind};
use crate::http_client::{Ask, Reply, Unanswered};
use crate::identity;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use wholly_server::transport::http::Told;
use wholly_tls::Trust;
use wholly_wire::headers::AUTHORIZATION;
use wholly_wire::problem::{self, Row};

/// A coordinator somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    url: String,
    /// The header that says who asks.
    authorization: Option<Authorization>,
    /// Whom it must prove to be, within TLS.
    trust: Arc<Trust>,
}

/// The value of a header that stays out of logs.
#[derive(Clone)]
struct Authorization(String);

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("authorization")
    }
}

/// Whether asking changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Reads,
    Changes,
}

impl Coordinator {
    /// At this address, as `http://127.0.0.1:7700`.
    pub(crate) fn at(url: &str) -> Coordinator {
        let url = url.trim_end_matches('/').to_owned();
        Coordinator { url, authorization: None, trust: Arc::default() }
    }

    /// Where a command is told to look, known as it is told to be.
    pub(crate) fn of(reading: &Reading) -> Result<Coordinator, Complaint> {
        identity::refuse_plain(&reading.url, &reading.certificates)?;
        let credential = identity::credential(&reading.identity)?;
        let authorization = credential.map(|known| Authorization(known.authorization()));
        let trust = identity::trust(&reading.certificates);
        Ok(Coordinator { authorization, trust, ..Coordinator::at(&reading.url) })
    }

    async fn send(&self, ask: Ask) -> Result<Reply, Unanswered> {
        ask.with(self.headers()).trusting(&self.trust).send().await
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.authorization.iter().map(|Authorization(text)| (AUTHORIZATION, text.clone()))
    }

    /// Reads what stands at a path.
    pub(crate) async fn read(&self, path: &str) -> Result<Value, Complaint> {
        let answer = self.send(Ask::read(format!("{}{path}", self.url))).await;
        self.judge(Asking::Reads, answer)
    }

    /// Reads what may take its time.
    pub(crate) async fn read_within(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<Value, Complaint> {
        let ask = Ask::read(format!("{}{path}", self.url)).within(within);
        self.judge(Asking::Reads, self.send(ask).await)
    }

    /// Asks for a change.
    pub(crate) async fn change(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Value, Complaint> {
        let body = serde_json::to_value(body).expect("request bodies are JSON");
        let answer = self.send(Ask::post(format!("{}{path}", self.url), body)).await;
        self.judge(Asking::Changes, answer)
    }

    fn judge(&self, asking: Asking, answer: Result<Reply, Unanswered>) -> Result<Value, Complaint> {
        match answer {
            Ok(reply) if reply.status.is_success() => Ok(reply.body),
            Ok(reply) => Err(refused(asking, &reply)),
            Err(unanswered) => Err(self.unanswered(asking, &unanswered)),
        }
    }

    fn unanswered(&self, asking: Asking, unanswered: &Unanswered) -> Complaint {
        let start = "start it with `wholly serve`, or say where it is: --url or WHOLLY_URL";
        match unanswered {
            Unanswered::Address { .. } => {
                Complaint::because(Kind::Usage, "nobody was asked", unanswered)
                    .means("nothing was changed")
                    .advice("write the address as --url http://127.0.0.1:7700")
            }
            Unanswered::Connect { .. } => {
                let happened = "the coordinator was not reached";
                Complaint::because(Kind::NoAnswer, happened, unanswered)
                    .means("nothing was changed; open transactions are kept in its log")
                    .advice(start)
            }
            Unanswered::Unsecured { .. } => {
                let happened = "the coordinator was not asked, for TLS with it failed";
                Complaint::because(Kind::NoAnswer, happened, unanswered)
                    .means("nothing was changed")
                    .advice(
                        "name the authority that signed its certificate: --ca or WHOLLY_CA; \
                         where it wants one of yours, --certificate and --key",
                    )
            }
            Unanswered::Broken { .. } | Unanswered::Late { .. } => {
                let means = match asking {
                    Asking::Reads => "nothing was changed",
                    Asking::Changes => "the change may have been made, or not",
                };
                let advice = match asking {
                    Asking::Reads => "ask again",
                    Asking::Changes => "look with `wholly tx show`, then ask again if it was not",
                };
                Complaint::because(Kind::NoAnswer, "the coordinator did not answer", unanswered)
                    .means(means)
                    .advice(advice)
            }
        }
    }
}

/// Makes a complaint of a problem document, or of whatever else came instead of an answer.
fn refused(asking: Asking, reply: &Reply) -> Complaint {
    let text = |field: &str| reply.body[field].as_str();
    let (Some(code), Some(detail)) = (text("code"), text("detail")) else {
        let happened = format!("{} came back, which is no answer of Wholly", reply.status);
        let means = match asking {
            Asking::Reads => "nothing was changed",
            Asking::Changes => "it is not known whether something was changed",
        };
        return Complaint::new(Kind::NoAnswer, happened)
            .means(means)
            .advice("see that --url names a coordinator and no other server or proxy");
    };
    let happened = format!("{detail} ({code})");
    let Some(row) = problem::row(code) else {
        let means = match asking {
            Asking::Reads => "nothing was changed",
            Asking::Changes => {
                "the coordinator refused with a code that this program does not know"
            }
        };
        return Complaint::new(Kind::Refused, happened)
            .means(means)
            .advice(format!("read what it says of the code at {}{code}", problem::PAGES));
    };
    Complaint::new(kind(row), happened).means(row.page.data).advice(row.page.advice)
}

/// Whether a code says that the request was refused, or leaves open what became of it.
fn kind(row: &Row) -> Kind {
    match row.code {
        "unavailable" | "internal" => Kind::NoAnswer,
        _certain => Kind::Refused,
    }
}

/// Turns what a stopped coordinator's folder answers into a complaint, where it is a problem.
pub(crate) fn told(told: Told) -> Result<Value, Complaint> {
    let status = StatusCode::from_u16(told.status).expect("the table holds statuses");
    match status.is_success() {
        true => Ok(told.body),
        false => Err(refused(
            Asking::Reads,
            &Reply { status, headers: HeaderMap::new(), body: told.body },
        )),
    }
}

/// Reads an answer as the document it should be.
pub(crate) fn parse<T: DeserializeOwned>(body: Value) -> Result<T, Complaint> {
    serde_json::from_value(body).map_err(|error| {
        Complaint::because(Kind::NoAnswer, "the answer is not the document it should be", &error)
            .means("nothing was changed by reading it")
            .advice("see that this program and the coordinator are of one release")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: u16, body: Value, asking: Asking, expected: &str) {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body,
        };
        assert_eq!(refused(asking, &reply).to_string(), expected);
    }

    #[test]
    fn a_refusal_says_what_happened_what_it_means_and_what_to_do() {
        let page = |code: &str, means: &str, advice: &str| {
            let body = json!({"code": code, "detail": "so it is", "retry": "later"});
            let expected = format!("so it is ({code})\n  data: {means}\n  to do: {advice}");
            check(503, body, Asking::Changes, &expected);
        };
        page(
            "starting",
            "Nothing was changed by this request; everything decided before stands.",
            "Send the same again; /readyz says when.",
        );
        page(
            "unavailable",
            "It is not known whether the request took effect. Nothing that was answered before \
             is lost.",
            "Send the same again: submit, begin with an idempotency key, register, commit and \
             abort may all be repeated. Or ask for the transaction.",
        );
        page(
            "of_a_later_release",
            "the coordinator refused with a code that this program does not know",
            "read what it says of the code at /v1/problems/of_a_later_release",
        );
        check(
            502,
            json!("<html>"),
            Asking::Changes,
            "502 Bad Gateway came back, which is no answer of Wholly\n  data: it is not known \
             whether something was changed\n  to do: see that --url names a coordinator and no \
             other server or proxy",
        );
    }

    #[test]
    fn only_what_is_certain_is_a_refusal() {
        let uncertain = |row: &&Row| row.page.data.starts_with("It is not known");
        let expected: Vec<&str> =
            problem::TABLE.iter().filter(uncertain).map(|row| row.code).collect();
        let no_answer = problem::TABLE.iter().filter(|row| kind(row) == Kind::NoAnswer);
        assert_eq!(no_answer.map(|row| row.code).collect::<Vec<_>>(), expected);
        assert_eq!(expected, ["unavailable", "internal"]);
    }

    #[tokio::test]
    async fn an_absent_coordinator_is_told_from_a_wrong_address() {
        let check = async |url: &str, code: u8, text: &str| {
            let complaint = Coordinator::at(url).read("/v1").await.unwrap_err();
            let (seen, kind) = (complaint.to_string(), complaint.kind());
            assert!(seen.contains(text) && kind.code() == code, "{url}: {seen}");
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap();
        drop(listener);
        check(&format!("http://{free}"), 3, "start it with `wholly serve`").await;
        check("127.0.0.1", 2, "write the address as").await;
    }
}
