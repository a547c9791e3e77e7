//! A witness: between a coordinator and its clients, it passes every byte on and looks at every
//! answer before its client hears it; that it is as described, and that no canary sings.

use crate::answer::{Came, check, header};
use std::net::{SocketAddr, TcpListener as Listener};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;

/// Stands before a coordinator until it is dropped, which panics if anything was asked or answered
/// that is not as described, or if a canary came out.
///
/// Whatever is wrong is not passed on: its connection is closed.
#[derive(Debug)]
pub struct Witness {
    /// Where clients find it.
    pub addr: SocketAddr,
    complaints: Arc<Mutex<Vec<String>>>,
    _stop: oneshot::Sender<()>,
}

impl Witness {
    /// Takes a free loopback port. The coordinator need not listen yet, nor always; it is not for
    /// connections with TLS.
    ///
    /// # Panics
    /// If no port or no thread is to be had.
    pub fn before(coordinator: SocketAddr) -> Witness {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let complaints = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&complaints);
        let (stop, stopped) = oneshot::channel::<()>();
        // A runtime of its own: clients may block theirs, or have none.
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _gone = stopped => {}
                    () = stand(listener, coordinator, kept) => {}
                }
            });
        });
        Witness { addr, complaints, _stop: stop }
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // A test that has failed says why already.
        if !thread::panicking() {
            let complaints = self.complaints.lock().unwrap();
            assert!(complaints.is_empty(), "not as described: {complaints:#?}");
        }
    }
}

async fn stand(listener: Listener, coordinator: SocketAddr, complaints: Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((mut client, _)) = listener.accept().await {
        let complaints = Arc::clone(&complaints);
        tokio::spawn(async move {
            // Without a coordinator the client hears what it does of one that dies.
            let Ok(mut server) = TcpStream::connect(coordinator).await else { return };
            if let Err(complaint) = relay(&mut client, &mut server).await {
                // Before the client hears of it, which may be the end of the test.
                complaints.lock().unwrap().push(complaint);
            }
        });
    }
}

/// Passes requests on as they come and answers once they are whole, until either side is gone; an
/// error says which answer is not as described.
async fn relay(client: &mut TcpStream, server: &mut TcpStream) -> Result<(), String> {
    for stream in [&*client, &*server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let before = asked.len();
        let (read, from_server) = tokio::select! {
            read = client.read_buf(&mut asked) => (read, false),
            read = server.read_buf(&mut said) => (read, true),
        };
        match (read, from_server) {
            (Ok(0) | Err(_), _) => return Ok(()),
            (Ok(_), false) => {
                // It may have answered already, and be gone.
                let _ = server.write_all(&asked[before..]).await;
            }
            (Ok(_), true) => {}
        }
        while let Some(length) = whole(&said) {
            let answer: Vec<u8> = said.drain(..length).collect();
            // A request may be answered before all of it is here.
            let request: Vec<u8> = asked.drain(..whole(&asked).unwrap_or(asked.len())).collect();
            catch_unwind(|| look(&request, &answer)).map_err(|why| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let why = why.downcast::<String>().unwrap_or_default();
                format!("{why}: {} heard {}", text(&request), text(&answer))
            })?;
            if client.write_all(&answer).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Bytes of the message that these begin with, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let body = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= end + body).then_some(end + body)
}

fn look(request: &[u8], answer: &[u8]) {
    let answer = std::str::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(header(head, "transfer-encoding").is_none(), "in pieces, which nobody reads here");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    check(request, &Came { status, head, body });
    wholly_canary::check_answer(request, head, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream as Plain;
    use std::panic::AssertUnwindSafe;

    const PROBLEM: &str = "{\"type\":\"/v1/problems/gid_unknown\",\"title\":\"t\",\"status\":404,\
                           \"code\":\"gid_unknown\",\"detail\":\"d\",\"retry\":\"never\"}";

    /// What a client hears through a witness where a coordinator answers so, and whether the
    /// witness complains.
    fn play(request: &str, kind: &str, body: &str) -> (String, bool) {
        let coordinator = Listener::bind("127.0.0.1:0").unwrap();
        let witness = Witness::before(coordinator.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 404 X\r\ncontent-type: {kind}\r\ncache-control: no-store\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answers = thread::spawn(move || {
            let (mut stream, _) = coordinator.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut one = [0; 1];
                stream.read_exact(&mut one).unwrap();
                asked.extend(one);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            // Gone only after its client.
            while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        });
        let mut client = Plain::connect(witness.addr).unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut heard = vec![0; 4096];
        let count = client.read(&mut heard).unwrap();
        heard.truncate(count);
        drop(client);
        answers.join().unwrap();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(witness)));
        (String::from_utf8(heard).unwrap(), dropped.is_err())
    }

    #[test]
    fn what_is_as_described_is_passed_on_and_all_else_is_told() {
        let known = "GET /v1/transactions/o-1";
        let json = "application/problem+json";
        let (heard, complains) = play(known, json, PROBLEM);
        assert!(heard.ends_with(PROBLEM) && !complains, "{heard}");
        let check = |request: &str, kind: &str, body: &str| {
            assert_eq!(play(request, kind, body), (String::new(), true), "{request} {kind} {body}");
        };
        check(known, "text/html", PROBLEM);
        check(
            known,
            json,
            &PROBLEM.replace("\"retry\":\"never\"", "\"retry\":\"never\",\"more\":1"),
        );
        check(known, json, &PROBLEM.replace("gid_unknown", "gid_taken"));
        check("GET /v1/nowhere", json, PROBLEM);
        check("GET /metrics", json, PROBLEM);
    }
}
