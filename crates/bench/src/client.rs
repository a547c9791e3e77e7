//! One kept connection to one server, without a pool and without a library's opinion.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use wholly_tls::{Caller, PeerName, Stream};

/// What can go wrong on the way.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The value of the header `authorization`, where who asks must be said.
    pub(crate) authorization: Option<HeaderValue>,
    /// Who secures the connection, where it is to be.
    pub(crate) secured: Option<Caller>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target { address, authorization: None, secured: None }
    }
}

/// A connection that carries one request at a time.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(target: &Target) -> Result<Client, Broken> {
        let address = target.address;
        let stream =
            TcpStream::connect(address).await.map_err(|e| Broken(format!("connect: {e}")))?;
        stream.set_nodelay(true).map_err(|e| Broken(format!("nodelay: {e}")))?;
        let stream = match &target.secured {
            None => Stream::Plain(stream),
            Some(caller) => {
                let host = address.ip().to_string();
                let peer = PeerName::new(&host).expect("a certificate can name an address");
                let secured = caller.secure(&peer, stream).await;
                secured.map_err(|e| Broken(format!("{e}: {}", e.source)))?
            }
        };
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| Broken(format!("handshake: {e}")))?;
        tokio::spawn(connection);
        let authorization = target.authorization.clone();
        Ok(Client { sender, host: address.to_string(), authorization })
    }

    /// Sends one request and reads its whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Broken> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).map_err(|e| Broken(format!("request: {e}")))?;
        self.sender.ready().await.map_err(|e| Broken(format!("ready: {e}")))?;
        let response =
            self.sender.send_request(request).await.map_err(|e| Broken(format!("send: {e}")))?;
        let status = response.status();
        let body =
            response.into_body().collect().await.map_err(|e| Broken(format!("body: {e}")))?;
        Ok((status, body.to_bytes()))
    }
}
