//! How coordinators of each release call, played again: a participant of this release answers it.

use crate::asking::{branch, gid, read, send};
use crate::handlers::{Gate, Lock, LockNow, Stock};
use crate::world::{Bed, Isolation};
use axum::body::Body;
use http::Request;
use sqlx::Sqlite;
use wholly::Service;
use wholly_wire::headers::{ANSWER, AnswerHeader, AnswerWord};

/// Every release whose calls are answered, the oldest first. A file is kept as its release called;
/// the server's tests hold the newest to how the coordinator calls.
const RELEASES: &[(&str, &str)] = &[("0.1", include_str!("../requests/coordinator-0.1.txt"))];

#[tokio::test]
async fn calls_of_every_release_are_answered() {
    for (release, kept) in RELEASES {
        let world = <Sqlite as Bed>::make(Isolation::Default, 2).await;
        let service = Service::new("stock", world.pool.clone())
            .tcc::<Lock>(Stock::<Sqlite>::new(&Gate::closed()))
            .saga::<LockNow>(Stock::<Sqlite>::new(&Gate::closed()));
        let router = wholly::participant::router([&service]);
        for call in kept.split("\n\n").skip(1) {
            let (head, body) = call.split_once("\n|").unwrap();
            let mut lines = head.lines();
            let path = lines.next().unwrap().strip_prefix("POST ").unwrap();
            let mut request = Request::post(path);
            for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
                request = request.header(name, value);
            }
            let request = request.body(Body::from(body.trim().to_owned())).unwrap();
            let (head, body) = read(send(&router, request).await).await;
            let what = format!("{release}: {call}\n{head:?} {body}");
            let answer = head.headers.get(ANSWER).expect(&what).to_str().unwrap();
            let expected = match call.contains("refuse") {
                true => AnswerWord::Refused,
                false => AnswerWord::Done,
            };
            assert_eq!(AnswerHeader::parse(answer).unwrap().word, expected, "{what}");
        }
        for (of, name, effects) in [
            ("g-1", "order", ["first"].as_slice()),
            ("g-1", "next", &["first"]),
            ("g-2", "order", &["first", "compensate"]),
            ("g-2", "no", &[]),
            ("g-3", "stock", &["first", "confirm"]),
            ("g-4", "stock", &["first", "cancel"]),
        ] {
            let seen = Sqlite::effects(&world.pool, (&gid(of), &branch(name))).await;
            assert_eq!(seen, effects, "{release}: {of} {name}");
        }
    }
}
