//! The floor: raw hyper in and out and a pre-written, group-committed log, without any logic.
//!
//! It reads no JSON. A begin writes 600 bytes and every change 60, calls go out over kept
//! connections, and answers wait for the sync that a coordinator's would wait for.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const BEGIN_BYTES: usize = 600;
const CHANGE_BYTES: usize = 60;
const LOG_BYTES: usize = 1 << 30;
const PIECE_BYTES: usize = 1 << 20;

struct Floor {
    log: Log,
    participants: SocketAddr,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Serves until killed; says its address on standard output.
pub(crate) async fn serve(folder: &Path, participants: SocketAddr) -> std::io::Result<()> {
    let floor = Arc::new(Floor {
        log: Log::open(&folder.join("floor.log"))?,
        participants,
        idle: Mutex::new(Vec::new()),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = Arc::clone(&floor);
        let service = service_fn(move |request| {
            let floor = Arc::clone(&floor);
            async move { Ok::<_, Infallible>(floor.request(request).await) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

impl Floor {
    async fn request(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let done = match request.into_body().collect().await {
            Ok(body) => self.act(&path, body.to_bytes()).await,
            Err(_) => None,
        };
        let mut response = Response::new(Full::new(Bytes::from_static(&[b' '; 400])));
        if done.is_none() {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        response
    }

    async fn act(&self, path: &str, body: Bytes) -> Option<()> {
        match path {
            "/begin" => self.log.write(BEGIN_BYTES),
            "/register" => {
                self.log.force(CHANGE_BYTES).await?;
                self.call(body).await?;
                self.log.write(CHANGE_BYTES);
            }
            "/commit" => {
                self.log.force(CHANGE_BYTES).await?;
                let (a, b) = tokio::join!(self.call(body.clone()), self.call(body));
                a.and(b)?;
                self.log.force(2 * CHANGE_BYTES).await?;
            }
            _ => {
                self.log.force(BEGIN_BYTES).await?;
                self.call(body.clone()).await?;
                self.log.write(CHANGE_BYTES);
                self.call(body).await?;
                self.log.force(CHANGE_BYTES).await?;
            }
        }
        Some(())
    }

    async fn call(&self, body: Bytes) -> Option<()> {
        let idle = self.idle.lock().ok()?.pop();
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await.ok()?;
        let request = Request::post("/wholly/a.do")
            .header("host", "participant")
            .header("content-type", "application/json")
            .header("wholly-gid", "floor")
            .body(Full::new(body))
            .ok()?;
        let response = sender.send_request(request).await.ok()?;
        response.into_body().collect().await.ok()?;
        self.idle.lock().ok()?.push(sender);
        Some(())
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.participants).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// A pre-written file, and a thread that gathers, writes once, syncs once and wakes all.
struct Log {
    queue: mpsc::Sender<(usize, Option<oneshot::Sender<()>>)>,
}

impl Log {
    fn open(path: &Path) -> std::io::Result<Log> {
        let file = File::create(path)?;
        let piece = vec![0_u8; PIECE_BYTES];
        for at in (0..LOG_BYTES).step_by(PIECE_BYTES) {
            file.write_all_at(&piece, at as u64)?;
        }
        file.sync_all()?;
        let (queue, arrived) = mpsc::channel();
        std::thread::Builder::new().name("floor-log".into()).spawn(move || run(&file, &arrived))?;
        Ok(Log { queue })
    }

    fn write(&self, bytes: usize) {
        // The thread lives as long as the process.
        let _ = self.queue.send((bytes, None));
    }

    async fn force(&self, bytes: usize) -> Option<()> {
        let (wake, woken) = oneshot::channel();
        self.queue.send((bytes, Some(wake))).ok()?;
        woken.await.ok()
    }
}

fn run(file: &File, arrived: &mpsc::Receiver<(usize, Option<oneshot::Sender<()>>)>) {
    let mut at = 0_usize;
    let mut lazy = 0_usize;
    while let Ok(first) = arrived.recv() {
        let mut bytes = lazy + first.0;
        let mut waiting: Vec<_> = first.1.into_iter().collect();
        while let Ok((more, wake)) = arrived.try_recv() {
            bytes += more;
            waiting.extend(wake);
        }
        lazy = 0;
        if waiting.is_empty() {
            lazy = bytes;
            continue;
        }
        if at + bytes > LOG_BYTES {
            at = 0;
        }
        let written = file.write_all_at(&vec![b'x'; bytes], at as u64);
        if written.and_then(|()| file.sync_data()).is_err() {
            return;
        }
        at += bytes;
        for wake in waiting {
            // Whoever waited may be gone.
            let _ = wake.send(());
        }
    }
}
