//! Asking a participant as the coordinator does, by its router.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tower_service::Service as _;
use wholly_canary::{Canary, PAYLOAD, REPLY, found};
use wholly_core::branch::{Answer, Kept, Op, Refusal};
use wholly_core::effect::Mark;
use wholly_core::ids::{self, BranchId, Code, Gid, Origin, Text};
use wholly_core::time::Timestamp;
use wholly_wire::headers::call_path;
use wholly_wire::headers::{ANSWER, AnswerHeader, AnswerWord, Asked, BodyKind, CallHeaders};
use wholly_wire::v1::call::RefusalBody;

pub(crate) fn gid(text: &str) -> Gid {
    Gid::new(text).unwrap()
}

pub(crate) fn branch(text: &str) -> BranchId {
    BranchId::new(text).unwrap()
}

pub(crate) fn mark(origin: &str, begun: u64, limit: u64) -> Mark {
    Mark { origin: Origin::new(origin).unwrap(), begun: Timestamp(begun), limit: Timestamp(limit) }
}

/// Far longer than any call here takes.
pub(crate) const HUNG: Duration = Duration::from_secs(60);

/// A call before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) headers: CallHeaders,
    pub(crate) body: String,
}

impl Ask {
    /// Of branch `stock`, with `{"act": act}` and a canary for a payload.
    pub(crate) fn new(operation: &str, op: Op, of: &str, act: &str) -> Self {
        let asked = Asked {
            gid: gid(of),
            branch: branch("stock"),
            operation: ids::Operation::new(operation).unwrap(),
            op,
        };
        let mark = mark("log-1", 1_000, 0);
        let headers = CallHeaders { asked, timeout_ms: 5_000, mark, body: BodyKind::Payload };
        Ask { headers, body: format!("{{\"card\":\"{PAYLOAD}\",\"act\":{act:?}}}") }
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::post(call_path(&self.headers.asked.operation));
        for (name, value) in self.headers.pairs() {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }

    /// What the coordinator takes the response for.
    pub(crate) async fn of(&self, router: &Router) -> Answer {
        // Hung is failed; a test that hangs says less.
        let sent = tokio::time::timeout(HUNG, send(router, self.request()));
        let response = sent.await.expect("an answer, be it that it is busy");
        let (head, body) = read(response).await;
        let Some(header) = head.headers.get(ANSWER) else {
            assert!(head.status.is_client_error() || head.status.is_server_error());
            return Answer::Unknown { detail: Text::cut(&body) };
        };
        let header = AnswerHeader::parse(header.to_str().unwrap()).unwrap();
        assert_eq!(header.asked, self.headers.asked, "an echo");
        match header.word {
            AnswerWord::Done => {
                assert_eq!(head.status, StatusCode::OK);
                Answer::Done { reply: ids::Body::new(body.as_bytes()), kept: header.kept }
            }
            AnswerWord::Refused => {
                assert_eq!(head.status, StatusCode::CONFLICT);
                let said: RefusalBody<'_> = serde_json::from_str(&body).unwrap();
                let code = Code::new(&said.code).unwrap();
                Answer::Refused(Refusal {
                    code,
                    detail: Text::cut(&said.detail),
                    kept: header.kept,
                })
            }
            AnswerWord::Working => {
                assert_eq!((head.status, header.kept), (StatusCode::TOO_EARLY, Kept::NotKept));
                Answer::Working
            }
        }
    }

    /// Asks again for as long as it is told to come again.
    pub(crate) async fn until_answered(&self, router: &Router) -> Answer {
        loop {
            match self.of(router).await {
                Answer::Working => tokio::task::yield_now().await,
                answer @ (Answer::Done { .. } | Answer::Refused(_) | Answer::Unknown { .. }) => {
                    return answer;
                }
            }
        }
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Response {
    router.clone().call(request).await.unwrap()
}

pub(crate) async fn read(response: Response) -> (http::response::Parts, String) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let said = format!("{head:?} {body}");
    assert_eq!(found(&said, &[Canary::Secret, Canary::Payload]), None, "{said}");
    // A reply is what a participant says; an answer of any other kind has none.
    if head.status != StatusCode::OK {
        wholly_canary::check("an answer that is not done", &said);
    }
    (head, body)
}

/// An answer in a few words: `done "reply" kept`, `refused code`, `working`, `unknown`; a reply
/// without what is planted in it.
pub(crate) fn words(answer: &Answer) -> String {
    let kept = |kept: &Kept| match kept {
        Kept::Kept => " kept",
        Kept::NotKept => "",
    };
    match answer {
        Answer::Done { reply, kept: k } => {
            let reply = String::from_utf8_lossy(reply.as_bytes()).into_owned();
            let planted = format!("\"secret\":\"{REPLY}\",");
            assert_eq!(reply.contains("\"warehouse\""), reply.contains(&planted), "{reply}");
            let reply = reply.replace(&planted, "");
            format!("done {reply}{}", kept(k)).trim_end().replace("  ", " ")
        }
        Answer::Refused(refusal) => format!("refused {}{}", refusal.code, kept(&refusal.kept)),
        Answer::Working => "working".into(),
        Answer::Unknown { .. } => "unknown".into(),
    }
}
