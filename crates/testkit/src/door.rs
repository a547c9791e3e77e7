//! The door of one service: a listener of its own, where calls are let in, or struck.

use crate::fault::Fault;
use crate::network::{Network, Passage};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinSet;
use tower_service::Service as _;
use wholly_core::branch::Kept;
use wholly_wire::headers::{ANSWER, AnswerHeader, AnswerWord, CallHeaders};

/// What makes a service's tables.
pub(crate) type Migration =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// One service behind its door.
pub(crate) struct Door {
    pub(crate) name: String,
    /// The service as it is.
    pub(crate) service: Router,
    /// The same, dying before each commit; none where it is not one of the SDK's.
    pub(crate) dying: Option<Router>,
    pub(crate) migration: Migration,
    pub(crate) migrated: OnceCell<()>,
    pub(crate) network: Arc<Network>,
}

/// A request, whole, that can be delivered more than once.
#[derive(Clone)]
pub(crate) struct Errand {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Answer = Response<Full<Bytes>>;

/// The connection dies without an answer.
#[derive(Debug)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service is gone, on purpose")
    }
}

impl std::error::Error for Gone {}

impl Door {
    /// Lets calls in until its task is aborted, and every connection with it.
    pub(crate) async fn open(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let door = Arc::clone(&self);
            let serve = service_fn(move |request| Arc::clone(&door).pass(request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
            // A connection that breaks is what its caller hears of; nobody else needs to.
            connections.spawn(async move { drop(connection.await) });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Makes the service's tables, once.
    pub(crate) async fn migrate(&self) -> Result<(), String> {
        self.migrated.get_or_try_init(|| (self.migration)()).await.copied()
    }

    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Gone> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_broken| Gone)?.to_bytes();
        let errand = Errand { method: head.method, uri: head.uri, headers: head.headers, body };
        if let Err(error) = self.migrate().await {
            let text = format!("the tables of {} were not made: {error}", self.name);
            return Ok(status(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        let value = |name| errand.headers.get(name).and_then(|value| value.to_str().ok());
        let Ok(call) = CallHeaders::parse(value) else {
            return Ok(deliver(self.service.clone(), errand).await);
        };
        match self.network.arrives(&self.name, &call) {
            Passage::Dead => Err(Gone),
            Passage::Through(at, None) => Ok(self.carry(errand, at).await),
            Passage::Through(at, Some(fault)) => self.strike(fault, &call, errand, at).await,
        }
    }

    async fn strike(
        self: Arc<Self>,
        fault: Fault,
        call: &CallHeaders,
        errand: Errand,
        at: usize,
    ) -> Result<Answer, Gone> {
        match fault {
            Fault::Refuse => {
                self.network.came(at, "refused on its way".to_owned());
                Ok(refusal(call))
            }
            Fault::RefuseCopy => {
                self.carry(errand, at).await;
                Ok(refusal(call))
            }
            Fault::CrashBefore => {
                self.network.dies(&self.name);
                Err(Gone)
            }
            Fault::CrashMidway => {
                let router = self.dying.as_ref().expect("only such services are struck so");
                self.carry_to(router, errand, at).await;
                self.network.dies(&self.name);
                Err(Gone)
            }
            Fault::CrashAfter => {
                self.carry(errand, at).await;
                self.network.dies(&self.name);
                Err(Gone)
            }
            Fault::Duplicate => {
                let first = self.carry(errand.clone(), at).await;
                self.carry(errand, at).await;
                Ok(first)
            }
            Fault::Late => {
                self.network.keep(at, Arc::clone(&self), errand.clone());
                Ok(self.carry(errand, at).await)
            }
            Fault::Slow => self.wait_until_given_up(errand, at).await,
        }
    }

    /// The caller's connection holds this future; when it is dropped, the caller has given up,
    /// and the call goes on.
    async fn wait_until_given_up(
        self: Arc<Self>,
        errand: Errand,
        at: usize,
    ) -> Result<Answer, Gone> {
        let (_held, given_up) = oneshot::channel::<()>();
        let under_way = self.network.sets_out();
        tokio::spawn(async move {
            // It is never sent to; it ends with its other half.
            let _ = given_up.await;
            self.carry(errand, at).await;
            drop(under_way);
        });
        std::future::pending().await
    }

    /// Takes a call to the service. What is under way goes on though its caller goes away.
    pub(crate) async fn carry(&self, errand: Errand, at: usize) -> Answer {
        self.carry_to(&self.service, errand, at).await
    }

    async fn carry_to(&self, router: &Router, errand: Errand, at: usize) -> Answer {
        let (router, network) = (router.clone(), Arc::clone(&self.network));
        let under_way = network.sets_out();
        let task = tokio::spawn(async move {
            let answer = deliver(router, errand).await;
            network.came(at, told(&answer));
            drop(under_way);
            answer
        });
        match task.await {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("the service's router did not come to its end: {error}");
                status(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

/// Delivers a request to a router.
pub(crate) async fn deliver(mut router: Router, errand: Errand) -> Answer {
    let mut request = Request::new(Body::from(errand.body));
    *request.method_mut() = errand.method;
    *request.uri_mut() = errand.uri;
    *request.headers_mut() = errand.headers;
    let answered = match router.call(request).await {
        Ok(answered) => answered,
        Err(never) => match never {},
    };
    let (head, body) = answered.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(head, Full::new(body.to_bytes())),
        Err(error) => status(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// What a service said, in a few words.
fn told(answer: &Answer) -> String {
    let header = answer.headers().get(ANSWER).and_then(|value| value.to_str().ok());
    match header.map(AnswerHeader::parse) {
        Some(Ok(AnswerHeader { word: AnswerWord::Done, .. })) => "done".to_owned(),
        Some(Ok(AnswerHeader { word: AnswerWord::Refused, .. })) => "refused".to_owned(),
        Some(Ok(AnswerHeader { word: AnswerWord::Working, .. })) => "working".to_owned(),
        Some(Err(_)) | None => format!("status {}, no answer", answer.status().as_u16()),
    }
}

/// A refusal as one gives it who keeps nothing: valid, and not kept.
fn refusal(call: &CallHeaders) -> Answer {
    let asked = call.asked.clone();
    let header = AnswerHeader { word: AnswerWord::Refused, asked, kept: Kept::NotKept };
    let header = HeaderValue::from_str(&header.to_string()).expect("names are visible ASCII");
    let body = r#"{"code":"refused_by_testkit","detail":"this run refuses the call"}"#;
    let mut answer = status(StatusCode::CONFLICT, body.to_owned());
    answer.headers_mut().insert(ANSWER, header);
    answer
}

fn status(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}
