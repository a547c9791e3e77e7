//! One kept connection to one server, without a pool and without a library's opinion.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What can go wrong on the way.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

/// A connection that carries one request at a time.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Client, Broken> {
        let stream =
            TcpStream::connect(address).await.map_err(|e| Broken(format!("connect: {e}")))?;
        stream.set_nodelay(true).map_err(|e| Broken(format!("nodelay: {e}")))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| Broken(format!("handshake: {e}")))?;
        tokio::spawn(connection);
        Ok(Client { sender, host: address.to_string() })
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
