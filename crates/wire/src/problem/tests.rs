//! Walks the table: every rejection has a row, every row a page, every code stands once.

use super::*;
use crate::credential::Role;
use wholly_core::document::Document;
use wholly_core::ids::{Name, Text};
use wholly_core::plan::PlanError;
use wholly_core::record::{Cause, Decision, PhaseName};
use wholly_core::time::Timestamp;

fn gid() -> Gid {
    "order-1".parse().unwrap()
}

fn document() -> Document {
    Document {
        gid: gid(),
        name: Name::new("place-order").unwrap(),
        principal: "anonymous".parse().unwrap(),
        begun: Timestamp(0),
        changed: Timestamp(1),
        state: PhaseName::Finishing,
        deadline: None,
        decision: Some(Decision::Abort),
        cause: Some(Cause::Deadline),
        cause_branch: None,
        reason: Text::default(),
        outcome: None,
        parked: false,
        branches: Vec::new(),
    }
}

/// One of each. The match makes a rejection that is not listed a compile error.
fn rejections() -> Vec<Rejection> {
    let branch: wholly_core::ids::BranchId = "stock".parse().unwrap();
    let all = vec![
        Rejection::GidTaken { gid: gid() },
        Rejection::IdempotencyMismatch { gid: gid() },
        Rejection::BranchTaken { gid: gid(), branch: branch.clone() },
        Rejection::Decided { document: Box::new(document()) },
        Rejection::GidUnknown { gid: gid() },
        Rejection::OutcomeForgotten { gid: gid() },
        Rejection::BranchUnknown { gid: gid(), branch: branch.clone() },
        Rejection::BranchContradicted { branch: branch.clone() },
        Rejection::NotOpen { gid: gid() },
        Rejection::PlanInvalid(PlanError::Empty),
        Rejection::BranchInvalid { branch: branch.clone(), why: "no" },
        Rejection::TooLarge { limit: "branches_max", max: 1 },
        Rejection::NotStuck { branch },
        Rejection::AlreadyEnded { gid: gid() },
        Rejection::WrongPhase { gid: gid(), why: "no" },
        Rejection::OpenFull { max: 1 },
        Rejection::LogFull,
        Rejection::WaitersFull { limit: "waiters_max", max: 1 },
        Rejection::Starting,
        Rejection::Draining,
        Rejection::Unreadable { gid: gid() },
        Rejection::Unaccounted { gid: gid() },
        Rejection::OpenBytesFull { max: 1 },
        Rejection::DestinationsFull { max: 1 },
        Rejection::LookupsFull { max: 1 },
        Rejection::InboxFull { max: 1 },
    ];
    let mut places: Vec<usize> = all.iter().map(place).collect();
    places.sort_unstable();
    assert_eq!(places, (0..all.len()).collect::<Vec<_>>(), "one of each is listed");
    all
}

fn place(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::GidTaken { .. } => 0,
        Rejection::IdempotencyMismatch { .. } => 1,
        Rejection::BranchTaken { .. } => 2,
        Rejection::Decided { .. } => 3,
        Rejection::GidUnknown { .. } => 4,
        Rejection::OutcomeForgotten { .. } => 5,
        Rejection::BranchUnknown { .. } => 6,
        Rejection::BranchContradicted { .. } => 7,
        Rejection::NotOpen { .. } => 8,
        Rejection::PlanInvalid(_) => 9,
        Rejection::BranchInvalid { .. } => 10,
        Rejection::TooLarge { .. } => 11,
        Rejection::NotStuck { .. } => 12,
        Rejection::AlreadyEnded { .. } => 13,
        Rejection::WrongPhase { .. } => 14,
        Rejection::OpenFull { .. } => 15,
        Rejection::LogFull => 16,
        Rejection::WaitersFull { .. } => 17,
        Rejection::Starting => 18,
        Rejection::Draining => 19,
        Rejection::Unreadable { .. } => 20,
        Rejection::Unaccounted { .. } => 21,
        Rejection::OpenBytesFull { .. } => 22,
        Rejection::DestinationsFull { .. } => 23,
        Rejection::LookupsFull { .. } => 24,
        Rejection::InboxFull { .. } => 25,
    }
}

fn edge_rejections() -> Vec<EdgeRejection> {
    let all = vec![
        EdgeRejection::MalformedJson { why: "no".into() },
        EdgeRejection::UnknownField { field: "nam".into(), nearest: Some("name") },
        EdgeRejection::FieldMissing { field: "name".into() },
        EdgeRejection::invalid("name", "is empty"),
        EdgeRejection::ContentType { seen: String::new() },
        EdgeRejection::BodyTooLarge { max: 1 },
        EdgeRejection::BodiesFull { max: 1 },
        EdgeRejection::ConnectionsFull { max: 1 },
        EdgeRejection::Overloaded { max: 1 },
        EdgeRejection::HeaderTooLarge { max: 1 },
        EdgeRejection::RequestTimeout { ms: 1 },
        EdgeRejection::MethodNotAllowed { allowed: "GET".into() },
        EdgeRejection::RouteUnknown,
        EdgeRejection::HostForbidden { host: "evil".into() },
        EdgeRejection::OriginForbidden { origin: "http://evil".into() },
        EdgeRejection::CredentialMissing,
        EdgeRejection::CredentialWrong,
        EdgeRejection::RoleForbidden { role: Role::Metrics, needs: "services".into() },
        EdgeRejection::CapabilityMissing { gid: gid() },
        EdgeRejection::CapabilityWrong { gid: gid() },
        EdgeRejection::DestinationUnknown {
            destination: "stock".parse().unwrap(),
            field: "to".into(),
        },
        EdgeRejection::IdempotencyKeyInvalid { why: "is empty".into() },
        EdgeRejection::Unavailable,
        EdgeRejection::Internal,
    ];
    let mut places: Vec<usize> = all.iter().map(edge_place).collect();
    places.sort_unstable();
    assert_eq!(places, (0..all.len()).collect::<Vec<_>>(), "one of each is listed");
    all
}

fn edge_place(rejection: &EdgeRejection) -> usize {
    match rejection {
        EdgeRejection::MalformedJson { .. } => 0,
        EdgeRejection::UnknownField { .. } => 1,
        EdgeRejection::FieldMissing { .. } => 2,
        EdgeRejection::FieldInvalid { .. } => 3,
        EdgeRejection::ContentType { .. } => 4,
        EdgeRejection::BodyTooLarge { .. } => 5,
        EdgeRejection::HeaderTooLarge { .. } => 6,
        EdgeRejection::RequestTimeout { .. } => 7,
        EdgeRejection::MethodNotAllowed { .. } => 8,
        EdgeRejection::RouteUnknown => 9,
        EdgeRejection::HostForbidden { .. } => 10,
        EdgeRejection::OriginForbidden { .. } => 11,
        EdgeRejection::CapabilityMissing { .. } => 12,
        EdgeRejection::CapabilityWrong { .. } => 13,
        EdgeRejection::DestinationUnknown { .. } => 14,
        EdgeRejection::IdempotencyKeyInvalid { .. } => 15,
        EdgeRejection::Unavailable => 16,
        EdgeRejection::Internal => 17,
        EdgeRejection::CredentialMissing => 18,
        EdgeRejection::CredentialWrong => 19,
        EdgeRejection::RoleForbidden { .. } => 20,
        EdgeRejection::BodiesFull { .. } => 21,
        EdgeRejection::ConnectionsFull { .. } => 22,
        EdgeRejection::Overloaded { .. } => 23,
    }
}

#[test]
fn every_rejection_has_a_row_and_every_row_a_rejection() {
    let mut used = std::collections::BTreeSet::new();
    for rejection in rejections() {
        let problem = Problem::of_rejection(&rejection, None);
        assert_eq!(problem.code, rejection.code());
        used.insert(rejection.code());
    }
    for rejection in edge_rejections() {
        let problem = Problem::of_edge(&rejection, None);
        assert_eq!(problem.code, rejection.code());
        used.insert(rejection.code());
    }
    for row in TABLE {
        assert!(used.contains(row.code), "nobody says {}", row.code);
    }
    assert_eq!(used.len(), TABLE.len(), "codes stand once");
}

#[test]
fn every_row_has_a_page_that_helps() {
    for row in TABLE {
        let Page { happened, data, advice } = row.page;
        for text in [happened, data, advice] {
            assert!(text.len() > 15 && text.ends_with('.'), "{}: {text}", row.code);
            assert!(!text.contains("  "), "{}: {text}", row.code);
        }
        assert!((400..600).contains(&row.status), "{}", row.code);
        assert!(!row.title.is_empty() && !row.title.ends_with('.'), "{}", row.code);
        let page = row.to_string();
        assert!(page.starts_with(&format!("# {}: ", row.code)) && page.contains("What to do: "));
    }
}

/// What happened and what to do are of that code alone; what it means for the data may be alike.
#[test]
fn no_page_repeats_another() {
    let texts = |text: fn(&Row) -> &'static str| {
        let texts: std::collections::BTreeSet<&str> = TABLE.iter().map(text).collect();
        texts.len()
    };
    assert_eq!(texts(|row| row.title), TABLE.len(), "titles");
    assert_eq!(texts(|row| row.page.happened), TABLE.len(), "what happened");
    assert_eq!(texts(|row| row.page.advice), TABLE.len(), "what to do");
}

#[test]
fn the_page_of_codes_is_drawn_from_the_table() {
    let kept = include_str!("../../../../docs/codes.md");
    assert!(kept == pages(), "docs/codes.md differs: cargo xtask tidy --write-codes");
    for row in TABLE {
        let anchors = kept.matches(&format!("\n## {}\n", row.code)).count();
        assert_eq!(anchors, 1, "{}", row.code);
    }
}

#[test]
fn a_problem_is_written_as_the_usage_page_says() {
    let rejection = Rejection::GidTaken { gid: gid() };
    let json = serde_json::to_value(Problem::of_rejection(&rejection, None)).unwrap();
    let expected = serde_json::json!({
        "type": "/v1/problems/gid_taken",
        "title": "The gid names another transaction",
        "status": 409,
        "code": "gid_taken",
        "detail": "order-1 names another transaction; a gid is not used again, not after an abort \
                   either: take another",
        "gid": "order-1",
        "retry": "never",
    });
    assert_eq!(json, expected);
}

#[test]
fn a_late_commit_hears_how_the_transaction_stands() {
    let rejection = Rejection::Decided { document: Box::new(document()) };
    let text = serde_json::to_string(&Problem::of_rejection(&rejection, None)).unwrap();
    let problem: Problem<'static> = serde_json::from_str(&text).unwrap();
    let transaction = problem.transaction.unwrap();
    assert_eq!((problem.status, transaction.decided()), (409, Some(Decision::Abort)));
    assert_eq!(problem.gid.as_deref(), Some("order-1"));
}

#[test]
fn a_client_reads_problems_of_a_later_release() {
    let text = r#"{"status":409,"code":"later_code","retry":"tomorrow","more":1}"#;
    let problem: Problem<'static> = serde_json::from_str(text).unwrap();
    assert_eq!((problem.retry.known(), problem.retry.as_str()), (None, "tomorrow"));
}
