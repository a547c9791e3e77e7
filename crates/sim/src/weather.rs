//! Weather: what strikes by the clock, whoever is at work.

use crate::agenda::Event;
use crate::cells::Struck;
use crate::participant::Participant;
use crate::tally::Fault;
use crate::world::Stage;

/// Strikes a participant and the way to it.
pub(crate) fn at(participant: &mut Participant, stage: &mut Stage) {
    let number = participant.number();
    let strikes = |fault: Fault, stage: &mut Stage| {
        let strikes = stage.strikes(fault, Struck::Everybody);
        if strikes {
            stage.note([8, fault as u64, number as u64], || {
                format!("world part {number}: {}", fault.words())
            });
        }
        strikes
    };
    if participant.is_up() && strikes(Fault::ParticipantCrashed, stage) {
        participant.crash();
        let wait = stage.chance.within(500, 150_000);
        stage.after(wait, Event::ParticipantStarts(number));
    }
    if participant.is_up() && strikes(Fault::ParticipantPaused, stage) {
        participant.pause(soon(stage));
    }
    if strikes(Fault::Overloaded, stage) {
        participant.fill(soon(stage));
    }
    if strikes(Fault::DatabaseRestarted, stage) {
        let until = stage.now_us + stage.chance.within(500, 100_000);
        participant.restart_database(until);
    }
    if strikes(Fault::Partitioned, stage) {
        let until = soon(stage);
        stage.network.cut(number, until);
    }
    if strikes(Fault::PartitionedOneWay, stage) {
        let until = soon(stage);
        stage.network.mute(number, until);
    }
    if strikes(Fault::PartitionFlapping, stage) {
        let (until, period) = (soon(stage), stage.chance.within(1_000, 30_000));
        stage.network.flap(number, until, period);
    }
}

/// Strikes the way from clients to the coordinator, and its clock.
pub(crate) fn around_the_coordinator(stage: &mut Stage) {
    if stage.strikes(Fault::ClientsCutOff, Struck::Everybody) {
        let until = stage.now_us + stage.chance.within(5_000, 200_000);
        stage.note([8, Fault::ClientsCutOff as u64, until], || "world clients cut off".into());
        stage.network.cut_clients(until);
    }
    if stage.strikes(Fault::ClockForward, Struck::Everybody) {
        let by = stage.clock.jump_forward(&mut stage.chance);
        stage.note([8, 4, by.unsigned_abs()], || format!("world clock jumps {by} ms"));
    }
    if stage.strikes(Fault::ClockBack, Struck::Everybody) {
        let by = stage.clock.jump_back(&mut stage.chance);
        stage.note([8, 5, by.unsigned_abs()], || format!("world clock jumps {by} ms"));
    }
    let spell = |stage: &mut Stage| stage.chance.within(10_000, 2_000_000);
    if stage.strikes(Fault::ClockDrifting, Struck::Everybody) {
        let wait = spell(stage);
        let pace = stage.clock.drift(stage.now_us, wait, &mut stage.chance);
        stage.note([8, 8, wait], || format!("world clock runs at {pace}/1000 for {wait} us"));
    }
    if stage.strikes(Fault::ClockFrozen, Struck::Everybody) {
        let wait = spell(stage);
        stage.clock.freeze(stage.now_us, wait);
        stage.note([8, 9, wait], || format!("world clock stands still for {wait} us"));
    }
}

fn soon(stage: &mut Stage) -> u64 {
    stage.now_us + stage.chance.within(5_000, 400_000)
}
