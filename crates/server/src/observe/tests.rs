//! Figures are shown under their names, and are never more than can be kept.

use super::*;
use wholly_core::branch::{Kept, Refusal};
use wholly_core::driver::Gauges;
use wholly_core::ids::{Body, Code, Text};
use wholly_wire::words::Spelled;

fn snapshot(gauges: Gauges, stats: Stats) -> Snapshot {
    let backlog = Backlog::new(gauges, std::iter::empty());
    let (lanes, upkeep) = (BTreeMap::new(), Upkeep::default());
    Snapshot { backlog, lanes, stats, upkeep, accepting: Accepting::Yes }
}

#[test]
fn every_figure_is_shown_under_its_name() {
    let metrics = Metrics::new();
    metrics.requested("/v1/transactions", 201);
    let stock = CallFigures::new("stock");
    metrics.called(&stock, Op::Try, &Answer::Working, Duration::from_millis(3));
    metrics.called(&stock, Op::Cancel, &Answer::Working, Duration::from_millis(3));
    metrics.flushed(Duration::from_micros(300));
    metrics.rang(Duration::from_millis(5));
    metrics.limited("transactions.open_max", 12);
    let gauges = Gauges { open: 3, stuck: 1, ..Gauges::default() };
    let mut stats = Stats { flushes: 7, log_bytes: 99, lost: 2, ..Stats::default() };
    for us in [1, 3, 5_000, 1 << 40] {
        stats.us_per_sync.note(us);
    }
    stats.drafts_per_batch.note(6);
    let mut shown = snapshot(gauges, stats);
    let lane = LaneGauges { in_flight: 2, free: 1, queued: 5, waiting: 6, ..LaneGauges::default() };
    shown.lanes.insert("stock".into(), lane);
    shown.upkeep = Upkeep {
        disk_bytes: Some((10, 100)),
        backup_tried_s: Some(3),
        backup_s: None,
        certificates: vec![(CertificateOf::Listener, 5), (CertificateOf::Clients, 7)],
    };
    let text = metrics.text(&shown);
    for line in [
        "wholly_build_info{version=\"0.1.0\"} 1",
        "wholly_ready 1",
        "wholly_limit{key=\"transactions.open_max\"} 12",
        "wholly_requests_total{route=\"/v1/transactions\",status=\"201\"} 1",
        "wholly_decided_total{decision=\"abort\",cause=\"deadline\"} 0",
        "wholly_outcomes_total{outcome=\"mixed\"} 0",
        "wholly_calls_total{destination=\"stock\",answer=\"working\"} 2",
        "wholly_calls_by_op_total{op=\"try\",answer=\"working\"} 1",
        "wholly_call_seconds_count{destination=\"stock\"} 2",
        "wholly_calls_due{destination=\"stock\",state=\"waiting\"} 6",
        "wholly_slots_free{destination=\"stock\"} 1",
        "wholly_log_flush_seconds_count 1",
        "wholly_timer_late_seconds_count 1",
        "wholly_transactions{phase=\"open\"} 3",
        "wholly_transactions{phase=\"finishing\"} 0",
        "wholly_transactions_older{phase=\"forward\",seconds=\"600\"} 0",
        "wholly_branches_stuck 1",
        "wholly_log_flushes_total 7",
        "wholly_log_bytes 99",
        "wholly_log_sync_seconds_bucket{le=\"0.000002\"} 1",
        "wholly_log_sync_seconds_bucket{le=\"+Inf\"} 4",
        "wholly_log_batch_transactions_bucket{le=\"2.0\"} 0",
        "wholly_log_batch_transactions_bucket{le=\"8.0\"} 1",
        "wholly_log_batch_transactions_sum 6.0",
        "wholly_archive_lag 0",
        "wholly_outcomes_lost_total 2",
        "wholly_disk_free_bytes 10",
        "wholly_disk_bytes 100",
        "wholly_backup_tried_time_seconds 3",
        "wholly_certificate_expiry_time_seconds{of=\"listener\"} 5",
        "wholly_certificate_expiry_time_seconds{of=\"clients\"} 7",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    let resident =
        text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    assert!(resident.unwrap().parse::<u64>().unwrap() > 1_000_000, "a test takes a megabyte");
    assert!(!text.contains("wholly_backup_time_seconds"), "what is not known is not shown");
    let again = metrics.text(&snapshot(gauges, Stats { flushes: 8, ..stats }));
    assert!(again.contains("wholly_log_flushes_total 8"));
    assert!(!again.contains("wholly_slots_free{"), "a destination that is gone is not shown");
}

/// Destinations that the bound is stated for.
const DESTINATIONS: usize = 100;
/// Time series of a coordinator with so many.
const SERIES_MAX: usize = 2_000;

#[test]
fn a_hundred_destinations_that_answer_in_every_way_are_two_thousand_series_at_most() {
    let metrics = Metrics::new();
    let code = Code::new("no").unwrap();
    let answers = [
        Answer::Done { reply: Body::default(), kept: Kept::NotKept },
        Answer::Refused(Refusal { code, detail: Text::default(), kept: Kept::NotKept }),
        Answer::Working,
        Answer::Unknown { detail: Text::default() },
    ];
    let mut lanes = BTreeMap::new();
    for number in 0..DESTINATIONS {
        let figures = CallFigures::new(&format!("service-{number}"));
        for op in Op::ALL {
            for answer in &answers {
                metrics.called(&figures, *op, answer, Duration::ZERO);
            }
        }
        lanes.insert(figures.label().to_owned(), LaneGauges::default());
    }
    for route in crate::transport::http::paths() {
        for status in [200, 201, 400, 401, 403, 404, 409, 503] {
            metrics.requested(route, status);
        }
    }
    let shown = snapshot(Gauges::default(), Stats::default());
    let text = metrics.text(&Snapshot { lanes, ..shown });
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= SERIES_MAX, "{series} series");
    assert!(series > DESTINATIONS * 10, "{series} series are too few to have counted all");
}
