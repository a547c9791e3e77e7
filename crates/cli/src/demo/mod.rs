//! `wholly demo`: the shop under every fault, each scene in a world of processes of its own.

mod keep;
mod play;
mod process;
mod progress;
mod scene;
mod world;

pub(crate) use process::{BOUND, READY};

use crate::arguments::Demo;
use crate::complaint::{Complaint, Kind};
use crate::stop::Stop;
use crate::table;
use play::{Verdict, play};
use progress::Progress;
use scene::Scene;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Runs the demonstration; whatever ends it, no process is left behind.
pub(crate) async fn run(demo: Demo) -> Result<(), Complaint> {
    let mut stop = Stop::listen(None)?;
    let shown = async {
        match demo.keep {
            true => keep::run().await,
            false => scenes(&demo).await,
        }
    };
    tokio::select! {
        ended = shown => ended,
        () = stop.asked() => Err(Complaint::new(Kind::NotDone, "interrupted")
            .means("the processes of the demonstration are gone, and its folders with them")),
    }
}

async fn scenes(demo: &Demo) -> Result<(), Complaint> {
    let since = Instant::now();
    let scenes = Scene::all();
    let mut progress = Progress::start(scenes.len());
    let mut waiting = scenes.iter().copied().enumerate();
    let mut playing = JoinSet::new();
    let mut verdicts: Vec<Option<Verdict>> = scenes.iter().map(|_| None).collect();
    let begin = |playing: &mut JoinSet<_>, (place, scene): (usize, Scene)| {
        playing.spawn(async move { (place, play(scene, host(place)).await) });
    };
    for next in waiting.by_ref().take(usize::from(demo.side_by_side)) {
        begin(&mut playing, next);
    }
    while let Some(played) = playing.join_next().await {
        let (place, verdict) = played.map_err(|error| {
            Complaint::because(Kind::NotDone, "a scene broke off; this is our mistake", &error)
        })?;
        let verdict = verdict?;
        progress.tell(&scenes[place].to_string(), &verdict);
        verdicts[place] = Some(verdict);
        if let Some(next) = waiting.next() {
            begin(&mut playing, next);
        }
    }
    progress.end();
    let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
    match demo.json {
        true => say!("{}", serde_json::json!({ "scenes": verdicts })),
        false => say!("{}", report(&verdicts, since.elapsed())),
    }
    judge(&verdicts)
}

/// A loopback address for each world, where the system has many: a port that a killed process
/// leaves for a moment is then not taken by another world.
fn host(place: usize) -> Ipv4Addr {
    match cfg!(target_os = "linux") {
        true => {
            let own = u8::try_from(std::process::id() % 250).expect("below 250 fits a byte");
            let place = u8::try_from(place % 250).expect("below 250 fits a byte");
            Ipv4Addr::new(127, 77, own + 1, place + 1)
        }
        false => Ipv4Addr::LOCALHOST,
    }
}

fn report(verdicts: &[Verdict], took: Duration) -> String {
    let mut rows =
        table::table(&["MODE", "FAULT", "KILLED", "ENDED", "BOOKS", "TIME", "WHAT HAPPENED"]);
    for verdict in verdicts {
        let books = if verdict.wrong.is_empty() { "right" } else { "WRONG" };
        let time = format!("{} ms", verdict.took_ms);
        let happened = table::cut(&verdict.happened, 100);
        let killed = if verdict.killed.is_empty() { "-" } else { &verdict.killed };
        let (fault, ended) = (verdict.fault.as_str(), verdict.ended.as_str());
        rows.add_row([verdict.mode, fault, killed, ended, books, &time, &happened]);
    }
    let right = verdicts.iter().filter(|verdict| verdict.wrong.is_empty()).count();
    let table = table::print(&mut rows);
    let seconds = took.as_secs_f64();
    format!(
        "{table}\n\n{right} of {} scenes right, in {seconds:.1} s. To look closer:\n  \
         wholly demo --keep                 a shop with a few hundred orders, left running\n  \
         wholly tx list --stuck             what waits for an operator there\n  \
         wholly tx show GID                 one transaction as a timeline",
        verdicts.len()
    )
}

fn judge(verdicts: &[Verdict]) -> Result<(), Complaint> {
    let mut lines = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| !verdict.wrong.is_empty()) {
        let Verdict { mode, fault, killed, wrong, .. } = verdict;
        let folder = verdict.folder.as_deref().unwrap_or_default();
        lines.push(format!("{mode} / {fault} / {killed}: {}; see {folder}", wrong.join("; ")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(Complaint::new(Kind::NotDone, format!("a promise is broken:\n{}", lines.join("\n")))
        .means("only the folders of the demonstration are concerned")
        .advice(
            "`wholly shop-books FOLDER` prints the books, `wholly serve --data \
             FOLDER/coordinator` with `wholly tx show order-1` the timeline; please report both",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(wrong: &[&str]) -> Verdict {
        Verdict {
            mode: "tcc",
            fault: "2 no stock to lock".to_owned(),
            killed: String::new(),
            happened: "customer: vase is out of stock".to_owned(),
            ended: "undone (refusal)".to_owned(),
            took_ms: 42,
            wrong: wrong.iter().map(|text| (*text).to_owned()).collect(),
            folder: Some("/some/folder".to_owned()),
        }
    }

    #[test]
    fn the_report_is_a_table_with_a_sum() {
        let text = report(&[verdict(&[]), verdict(&["torn"])], Duration::from_millis(1_250));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("MODE  FAULT               KILLED  ENDED"), "{text}");
        assert!(lines[1].contains("tcc   2 no stock to lock  -       undone (refusal)"), "{text}");
        assert!(lines[1].contains("right  42 ms"), "{text}");
        assert!(lines[2].contains("WRONG"), "{text}");
        assert!(text.contains("1 of 2 scenes right, in 1.2 s"), "{text}");
    }

    #[test]
    fn one_wrong_book_fails_the_whole() {
        assert!(judge(&[verdict(&[])]).is_ok());
        let complaint = judge(&[verdict(&[]), verdict(&["order 1 is torn"])]).unwrap_err();
        assert!(complaint.to_string().contains("order 1 is torn; see /some/folder"));
    }
}
