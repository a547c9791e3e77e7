//! The trace: one client, the coordinator under strace; whatever names a transaction leaves only
//! after the sync that covers what it rests on.

use crate::Failure;
use crate::shop::{self, Client, Member, Order, Shop};
use std::fs;
use std::path::Path;

/// The system calls that are looked at.
const CALLS: &str = "pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg,read,readv,\
                     recvfrom,recvmsg";

/// The task `kill trace`.
pub(super) fn run(root: &Path) -> Result<(), Failure> {
    shop::with(root, "trace", |shop| {
        let file = shop.folder.join("strace");
        let above = ["strace", "-f", "-qq", "-s", "1000000", "-e", &format!("trace={CALLS}"), "-o"];
        let mut above: Vec<String> = above.into_iter().map(String::from).collect();
        above.push(file.display().to_string());
        for service in [Member::Order, Member::Stock, Member::Points] {
            shop.start(service)?;
        }
        shop.start_under(Member::Coordinator, &above)?;
        let gids = place_orders(shop)?;
        shop.stop(Member::Coordinator)?;
        let text = fs::read(&file)
            .map_err(|e| Failure::new(format!("reading {} failed: {e}", file.display())))?;
        let events = parse(&String::from_utf8_lossy(&text));
        let mut sends = 0;
        for gid in &gids {
            let checked = check(&events, gid).map_err(|e| Failure::new(format!("{gid}: {e}")))?;
            println!("{gid}: {checked} sends, each after the sync that covers it");
            sends += checked;
        }
        println!("{sends} sends of {} transactions: {} passed, 0 failed", gids.len(), gids.len());
        Ok(())
    })
}

/// A saga and a TCC that go well, and one of each that does not.
fn place_orders(shop: &Shop) -> Result<Vec<String>, Failure> {
    let client = Client { coordinator: shop.address(Member::Coordinator) };
    let tried = |e: crate::http::Unanswered| Failure::new(format!("no answer: {}", e.0));
    let mut gids = Vec::new();
    for (id, sku) in [("traced-saga", "tea"), ("traced-turn", "vase")] {
        let order = Order { id: id.into(), sku };
        client.submit(&order).map_err(tried)?;
        client.ended(&order.gid()).map_err(tried)?;
        gids.push(order.gid());
    }
    for (id, sku) in [("traced-tcc", "tea"), ("traced-abort", "vase")] {
        let order = Order { id: id.into(), sku };
        let begun = client.begin(&order).map_err(tried)?;
        let capability = begun.body["capability"].as_str().unwrap_or("");
        let replies = client.register_all(&order, capability).map_err(tried)?;
        let done = replies.iter().filter(|(_, reply)| reply.body["answer"] == "done");
        let done: Vec<&str> = done.map(|(name, _)| *name).collect();
        match done.len() {
            3 => client.commit(&order, capability, &done).map_err(tried)?,
            _ => client.abort(&order, capability).map_err(tried)?,
        };
        client.ended(&order.gid()).map_err(tried)?;
        gids.push(order.gid());
    }
    Ok(gids)
}

/// A system call, from the line on which it began to the line on which it ended.
struct Event {
    kind: Kind,
    begin: usize,
    end: usize,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Into a file, at an offset.
    Write,
    Sync,
    Send,
    Receive,
}

/// Reads what `strace -f -o` writes: the thread, then a call, perhaps in two halves.
fn parse(text: &str) -> Vec<Event> {
    let mut halves: Vec<(&str, usize, &str)> = Vec::new();
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(half) = rest.strip_suffix("<unfinished ...>") {
            halves.push((thread, number, half));
            continue;
        }
        let (begin, call) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let Some(at) = halves.iter().position(|half| half.0 == thread) else { continue };
                let (_, begin, half) = halves.remove(at);
                let tail = resumed.split_once('>').map_or("", |(_, tail)| tail);
                (begin, format!("{half}{tail}"))
            }
            None => (number, rest.to_owned()),
        };
        let kind = match call.split('(').next().unwrap_or("") {
            "pwrite64" | "pwritev" => Kind::Write,
            "fdatasync" | "fsync" => Kind::Sync,
            "write" | "writev" | "sendto" | "sendmsg" => Kind::Send,
            "read" | "readv" | "recvfrom" | "recvmsg" => Kind::Receive,
            _ => continue,
        };
        let has_failed = call.rsplit_once(" = ").is_none_or(|(_, result)| result.starts_with('-'));
        if !has_failed {
            events.push(Event { kind, begin, end: number, text: call });
        }
    }
    events
}

impl Event {
    /// The file or socket.
    fn descriptor(&self) -> &str {
        let arguments = self.text.split_once('(').map_or("", |(_, rest)| rest);
        arguments.split([',', ')']).next().unwrap_or("").trim()
    }

    fn is_client_request(&self) -> bool {
        let begins = |method: &str| self.text.contains(&format!("\"{method} /v1/transactions"));
        self.kind == Kind::Receive && (begins("PUT") || begins("POST"))
    }

    fn is_call(&self) -> bool {
        self.text.contains("wholly-op: ")
    }

    fn is_final_answer(&self) -> bool {
        self.text.contains(r#"\"decision\":\""#)
    }
}

/// Checks all sends that name a transaction and says how many there were.
fn check(events: &[Event], gid: &str) -> Result<usize, String> {
    let named: Vec<&Event> = events.iter().filter(|event| event.text.contains(gid)).collect();
    let sends = named.iter().filter(|event| event.kind == Kind::Send);
    let (mut checked, mut calls, mut finals) = (0, 0, 0);
    for send in sends {
        let mut before =
            named.iter().filter(|event| event.kind == Kind::Receive && event.end < send.begin);
        let cause = before.rfind(|event| rests_on(send, event, gid));
        let Some(cause) = cause else {
            return Err(format!("line {} is sent without cause: {}", send.begin + 1, shown(send)));
        };
        // A begin without branches promises nothing: its answer may leave before its record.
        if cause.text.contains("POST /v1/transactions HTTP") && !send.is_call() {
            continue;
        }
        if !is_covered(events, gid, cause.end, send.begin) {
            let line = send.begin + 1;
            return Err(format!(
                "line {line} is sent before its record is synced: {}",
                shown(send)
            ));
        }
        checked += 1;
        calls += usize::from(send.is_call());
        finals += usize::from(send.is_final_answer());
    }
    match (calls, finals) {
        (0, _) => Err("no call was seen".into()),
        (_, 0) => Err("no final answer was seen".into()),
        _ => Ok(checked),
    }
}

/// Whether a send rests on something received: on the request that asked for it; a compensation
/// on the refusal that turned the saga; a final answer on the last step's answer.
fn rests_on(send: &Event, received: &Event, gid: &str) -> bool {
    let is_answer = |says: &str| received.text.contains(says) && received.text.contains(gid);
    let is_turn = send.text.contains("wholly-op: compensate") && is_answer("refused;gid=");
    let is_last = send.is_final_answer() && is_answer(";op=action");
    received.is_client_request() || is_turn || is_last
}

/// Whether a record of the transaction was written and synced between two lines.
fn is_covered(events: &[Event], gid: &str, after: usize, before: usize) -> bool {
    let writes = events.iter().filter(|event| {
        event.kind == Kind::Write && event.text.contains(gid) && event.begin > after
    });
    let syncs = |write: &Event| {
        events.iter().any(|sync| {
            sync.kind == Kind::Sync
                && sync.descriptor() == write.descriptor()
                && sync.begin > write.end
                && sync.end < before
        })
    };
    writes.into_iter().any(syncs)
}

fn shown(event: &Event) -> String {
    event.text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"9 recvfrom(5, "PUT /v1/transactions/order-1 HTTP/1.1\r\n", 8, 0) = 8"#;
    const WRITE: &str = r#"7 pwrite64(3, "\5order-1", 9, 0) = 9"#;
    const SYNC: &str = "7 fdatasync(3) = 0";
    const CALL: &str =
        r#"9 writev(6, [{iov_base="wholly-op: action\r\nwholly-gid: order-1"}], 1) = 9"#;
    const DONE: &str = r#"9 recvfrom(6, "wholly-answer: done;gid=order-1;op=action", 8, 0) = 8"#;
    const REFUSED: &str = r#"9 recvfrom(6, "refused;gid=order-1;branch=b;op=action", 8, 0) = 8"#;
    const BACK: &str = r#"9 sendto(6, "wholly-op: compensate\r\nwholly-gid: order-1", 9) = 9"#;
    const FINAL: &str = r#"9 sendto(5, "{\"gid\":\"order-1\",\"decision\":\"commit\"}", 9) = 9"#;
    const LATE: [&str; 2] = ["7 fdatasync(3 <unfinished ...>", "7 <... fdatasync resumed>) = 0"];

    fn check(lines: &[&str], expected: Result<usize, &str>) {
        let found = super::check(&parse(&lines.join("\n")), "order-1");
        match (&found, expected) {
            (Ok(checked), Ok(count)) => assert_eq!(*checked, count),
            (Err(fault), Err(part)) => assert!(fault.contains(part), "{fault}"),
            _ => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn sends_after_their_sync_are_good() {
        check(&[REQUEST, WRITE, SYNC, CALL, DONE, WRITE, SYNC, FINAL], Ok(2));
        check(&[REQUEST, WRITE, SYNC, CALL, REFUSED, WRITE, SYNC, BACK, FINAL], Ok(3));
        check(&[REQUEST, WRITE, LATE[0], LATE[1], CALL, DONE, WRITE, SYNC, FINAL], Ok(2));
    }

    #[test]
    fn sends_before_their_sync_are_found() {
        let early = "before its record is synced";
        check(&[REQUEST, WRITE, CALL, SYNC, DONE, WRITE, SYNC, FINAL], Err(early));
        check(&[REQUEST, WRITE, SYNC, CALL, DONE, WRITE, FINAL, SYNC], Err(early));
        check(&[REQUEST, WRITE, SYNC, CALL, DONE, FINAL], Err(early));
        check(&[REQUEST, WRITE, SYNC, CALL, REFUSED, BACK, WRITE, SYNC, FINAL], Err(early));
        check(&[REQUEST, WRITE, LATE[0], CALL, LATE[1], DONE, WRITE, SYNC, FINAL], Err(early));
        check(&[REQUEST, WRITE, "7 fdatasync(4) = 0", CALL], Err(early));
        check(&[REQUEST, WRITE, "7 fdatasync(3) = -1 EIO", CALL], Err(early));
        check(&[WRITE, SYNC, CALL], Err("without cause"));
        check(&[REQUEST, WRITE, SYNC, CALL], Err("no final answer"));
    }
}
