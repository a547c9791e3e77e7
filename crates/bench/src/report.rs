//! The rows, as a table for people or one JSON document.

use crate::Form;
use crate::load::{Slice, Workload};
use crate::open::Open;
use crate::throughput::Counters;
use serde_json::{Value, json};

/// One pair of slices.
pub(crate) struct Sample {
    pub(crate) own: Slice,
    pub(crate) beside: Slice,
    pub(crate) spent: Counters,
    pub(crate) floor_cpu: f64,
}

/// One workload with so many clients: medians over the pairs.
pub(crate) struct Row {
    workload: &'static str,
    clients: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    forced_writes: f64,
    log_bytes: f64,
    floor_per_second: f64,
    floor_p50_ms: f64,
    floor_cpu_us: f64,
    ratio_to_floor: f64,
}

impl Row {
    pub(crate) fn new(workload: Workload, clients: usize, samples: &[Sample]) -> Row {
        let over = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        let rate = |slice: &Slice| slice.transactions as f64 / slice.seconds;
        let each = |total: f64, slice: &Slice| total / slice.transactions.max(1) as f64;
        let quantile =
            |slice: &Slice, at: f64| slice.latency_us.value_at_quantile(at) as f64 / 1_000.0;
        Row {
            workload: workload.name(),
            clients,
            per_second: over(&|s| rate(&s.own)),
            p50_ms: over(&|s| quantile(&s.own, 0.5)),
            p99_ms: over(&|s| quantile(&s.own, 0.99)),
            cpu_us: over(&|s| each(s.spent.cpu_seconds * 1e6, &s.own)),
            forced_writes: over(&|s| each(s.spent.syncs, &s.own)),
            log_bytes: over(&|s| each(s.spent.log_bytes, &s.own)),
            floor_per_second: over(&|s| rate(&s.beside)),
            floor_p50_ms: over(&|s| quantile(&s.beside, 0.5)),
            floor_cpu_us: over(&|s| each(s.floor_cpu * 1e6, &s.beside)),
            ratio_to_floor: over(&|s| rate(&s.own) / rate(&s.beside)),
        }
    }

    fn json(&self) -> Value {
        json!({
            "workload": self.workload,
            "clients": self.clients,
            "per_second": round(self.per_second, 0),
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "cpu_us": round(self.cpu_us, 1),
            "forced_writes": round(self.forced_writes, 3),
            "log_bytes": round(self.log_bytes, 0),
            "floor_per_second": round(self.floor_per_second, 0),
            "floor_p50_ms": round(self.floor_p50_ms, 3),
            "floor_cpu_us": round(self.floor_cpu_us, 1),
            "ratio_to_floor": round(self.ratio_to_floor, 3),
        })
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn round(figure: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (figure * scale).round() / scale
}

/// Prints these members of the rows for people.
pub(crate) fn table(columns: &[&str], rows: &[Value]) {
    let shown = |value: &Value| match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => number.to_string(),
        (None, None) => value.to_string(),
    };
    let width = |column: &&str| {
        let cells = rows.iter().map(|row| shown(&row[*column]).len());
        cells.max().unwrap_or(0).max(column.len()) + 2
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        println!("{}", cells.collect::<String>());
    };
    line(columns.iter().map(|column| column.replace('_', " ")).collect());
    for row in rows {
        line(columns.iter().map(|column| shown(&row[*column])).collect());
    }
}

/// Prints everything.
pub(crate) fn print(rows: &[Row], open: Option<&Open>, form: Form) {
    if form == Form::Json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!({"rows": rows, "open": open.map(Open::json)}));
        return;
    }
    println!(
        "{:<8} {:>7} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {:>9} {:>7} {:>6}",
        "workload",
        "clients",
        "per s",
        "p50 ms",
        "p99 ms",
        "cpu us",
        "forced",
        "bytes",
        "floor/s",
        "floor p50",
        "its cpu",
        "ratio"
    );
    for row in rows {
        println!(
            "{:<8} {:>7} {:>8.0} {:>8.2} {:>8.2} {:>7.1} {:>7.3} {:>7.0} {:>8.0} {:>9.2} {:>7.1} \
             {:>6.2}",
            row.workload,
            row.clients,
            row.per_second,
            row.p50_ms,
            row.p99_ms,
            row.cpu_us,
            row.forced_writes,
            row.log_bytes,
            row.floor_per_second,
            row.floor_p50_ms,
            row.floor_cpu_us,
            row.ratio_to_floor,
        );
    }
    println!("forced: syncs of the log per transaction; bytes: log bytes per transaction");
    if let Some(open) = open {
        println!("{}", open.text());
    }
}
