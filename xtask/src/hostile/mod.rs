//! Hostile: a real coordinator among clients and participants that mean it no good; its memory, the
//! healthy calls it serves meanwhile, its figures and its log lines are counted.

mod attacks;
pub(crate) mod participants;
mod victim;
mod within_tls;

use crate::{Failure, programs};
use attacks::{ATTACKS, Attack, Ground};
use participants::Participants;
use std::path::{Path, PathBuf};
use victim::{LIMITS, Victim};
use within_tls::Tunnel;

/// Sagas that must end while an attack goes on.
const HEALTHY: usize = 10;
/// Series of figures, whatever was asked.
const SERIES_MAX: usize = 2_000;
/// Lines of the log that no transaction has a part in.
const IDLE_LINES_MAX: usize = 50;
/// Longest line of the log.
const LINE_BYTES_MAX: usize = 4_096;

/// The task `hostile`.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), Failure> {
    let program = match options {
        [] => programs::wholly(root)?,
        ["--program", path] => PathBuf::from(path),
        other => return Err(Failure::new(format!("hostile does not know {}", other.join(" ")))),
    };
    let participants =
        participants::start().map_err(|e| Failure::new(format!("listening: {e}")))?;
    let mut wrong = plain(&program, &participants)?;
    wrong.extend(secured(root, &program, &participants)?);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(wrong.join("; "))),
    }
}

/// A coordinator that speaks plain text; says what was not as it should be.
fn plain(program: &Path, participants: &Participants) -> Result<Vec<String>, Failure> {
    let victim = Victim::start(program, participants, &[])?;
    let ground = Ground { at: victim.address, asked: victim.address };
    let mut wrong = attack(ATTACKS, &ground, &victim, LIMITS.sum())?;
    let (series, longest) = (ground.figures()?.len(), victim.longest_line()?);
    println!("{series} series of figures, longest line of the log {longest} bytes");
    if series > SERIES_MAX || series == 0 {
        wrong.push(format!("{series} series of figures"));
    }
    if longest > LINE_BYTES_MAX {
        wrong.push(format!("a line of the log has {longest} bytes"));
    }
    victim.stop()?;
    Ok(wrong)
}

/// One that speaks TLS alone, asked by a tunnel; its handshakes have longer than an attack takes.
fn secured(
    root: &Path,
    program: &Path,
    participants: &Participants,
) -> Result<Vec<String>, Failure> {
    let mut tunnel = Tunnel::start(root)?;
    let mut settings = tunnel.settings().to_vec();
    settings.push("requests.handshake_ms_max=600000".to_owned());
    let victim = Victim::start(program, participants, &settings)?;
    tunnel.lead_to(victim.address)?;
    let ground = Ground { at: victim.address, asked: tunnel.address };
    let mut wrong = attack(within_tls::ATTACKS, &ground, &victim, LIMITS.sum_within_tls())?;
    let figures = ground.figures()?;
    for why in ["failed", "broken"] {
        let name = format!("wholly_handshakes_failed_total{{why=\"{why}\"}} ");
        let count = figures.iter().find_map(|line| line.strip_prefix(&name)).unwrap_or("none");
        println!("{count} handshakes {why}");
        if matches!(count, "none" | "0") {
            wrong.push(format!("{count} handshakes are said to have {why}"));
        }
    }
    victim.stop()?;
    Ok(wrong)
}

/// Attacks, one after another; the process may take half as much again as the limits allow
/// together, itself included.
fn attack(
    attacks: &[Attack],
    ground: &Ground,
    victim: &Victim,
    sum: u64,
) -> Result<Vec<String>, Failure> {
    let (base, allowed) = (victim.memory("VmRSS")?, sum / 2 * 3);
    println!("before: {} MiB; the sum of the limits: {} MiB", base >> 20, sum >> 20);
    println!("{:<22}{:>9}{:>10}{:>8}{:>8}", "attack", "peak MiB", "allowed", "healthy", "lines");
    let mut wrong = Vec::new();
    for attack in attacks {
        victim.forget_peak()?;
        let lines = victim.log_lines()?;
        let held = (attack.run)(ground)?;
        let idle_lines = victim.log_lines()? - lines;
        let healthy = (0..HEALTHY).filter(|at| ground.healthy(&held, *at)).count();
        let peak = victim.memory("VmHWM")?;
        drop(held);
        ground.settle(victim)?;
        let (shown, allowed) = (peak >> 20, allowed >> 20);
        let name = attack.name;
        println!("{name:<22}{shown:>9}{allowed:>10}{healthy:>5}/{HEALTHY}{idle_lines:>8}");
        if shown > allowed {
            wrong.push(format!("{name}: {shown} MiB of {allowed}"));
        }
        if healthy < HEALTHY {
            wrong.push(format!("{name}: {healthy} of {HEALTHY} healthy sagas ended"));
        }
        if attack.logs == attacks::Logs::Nothing && idle_lines > IDLE_LINES_MAX {
            wrong.push(format!("{name}: {idle_lines} lines in the log"));
        }
    }
    Ok(wrong)
}
