//! Machine: what its disk does, what strikes it by the clock, and what a loss of power would leave.

use super::copy::Folder;
use super::{Act, Coordinator, Death};
use crate::agenda::Event;
use crate::cells::Struck;
use crate::disk::{Room, SECTOR_BYTES};
use crate::evidence::Evidence;
use crate::log::Log;
use crate::tally::Fault;
use crate::world::Stage;
use std::fmt;
use wholly_store::disk::DiskOp;

/// Of so many delicate moments, one is tried.
pub(super) const PROBED_OF: u64 = 8;

impl Coordinator {
    /// The disk is done with what it was asked.
    pub fn disk_done(&mut self, life: u32, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        if stage.strikes(Fault::PowerLost, Struck::Everybody) {
            return self.die(Death::PowerLost, stage);
        }
        if stage.strikes(Fault::CoordinatorKilled, Struck::Everybody) {
            return self.die(Death::Killed, stage);
        }
        let Some(process) = &mut self.process else { return };
        let Some(op) = process.under_way.take() else { return };
        let through = process.log.appended();
        let room = if stage.now_us < self.full_until_us { Room::None } else { Room::Ample };
        let result = self.disk.carry_out_in(room, (&op, through), &mut stage.luck());
        stage.note([14, through.0, u64::from(result.is_ok())], || {
            format!("disk {op}: {result:?}, platter {}", self.disk.platter().0)
        });
        if let DiskOp::Write { .. } = op {
            self.written = self.written.max(through);
        }
        self.probe(&op, stage);
        let Some(process) = &mut self.process else { return };
        for completion in process.log.complete(result) {
            self.completed(completion, stage);
        }
        self.pump(stage);
    }

    /// Where a segment begins or goes, a loss of power is tried out.
    fn probe(&self, op: &DiskOp, stage: &mut Stage) {
        let delicate = match op {
            DiskOp::Write { offset, .. } => *offset < SECTOR_BYTES as u64,
            DiskOp::Unlink { .. } => true,
            DiskOp::Create { .. } | DiskOp::Sync { .. } | DiskOp::SyncFolder => false,
        };
        if delicate && stage.chance.below(PROBED_OF) == 0 {
            self.try_without_power(op, stage);
        }
    }

    /// A loss of power at this moment is tried out on a copy: what would be found must be what is
    /// found after a loss that really happens.
    pub(super) fn try_without_power(&self, after: &dyn fmt::Display, stage: &mut Stage) {
        // A copy that was put back ends before what is known, and a rotten bit is refused.
        if self.folder != Folder::Own || self.rot.is_some() {
            return;
        }
        let disk = self.disk.without_power(&mut stage.chance);
        match Log::loaded_on((disk, self.twin_copy()), stage.space) {
            Ok(loaded) => {
                let (position, open) = (loaded.position, &loaded.open[..]);
                stage.court.weigh(&Evidence::Recovered { position, worst: position, open });
            }
            Err(error) => {
                let what = format!("power lost after {after}, the log cannot be read: {error}");
                stage.court.refuse("decided once", what);
            }
        }
    }

    /// Draws what strikes the machine by the clock.
    pub fn tick(&mut self, stage: &mut Stage) {
        self.tick_copy(stage);
        if self.process.is_none() {
            return;
        }
        if stage.strikes(Fault::PowerLost, Struck::Everybody) {
            self.die(Death::PowerLost, stage);
        } else if stage.strikes(Fault::CoordinatorKilled, Struck::Everybody) {
            self.die(Death::Killed, stage);
        } else if stage.strikes(Fault::CoordinatorDrained, Struck::Everybody) {
            stage.note([20, 0, 0], || "world core is asked to stop".into());
            self.operated(Act::Stop, stage);
            let wait = stage.chance.within(1_000, 200_000);
            stage.after(wait, Event::CoordinatorStops { life: self.life });
        } else if stage.strikes(Fault::DiskFull, Struck::Everybody) {
            let wait = stage.chance.within(5_000, 400_000);
            stage.note([23, wait, 0], || format!("world disk is full for {wait} us"));
            self.full_until_us = stage.now_us + wait;
        } else if stage.strikes(Fault::CoordinatorPaused, Struck::Everybody) {
            let pause = stage.chance.within(1_000, 300_000);
            stage.note([17, pause, 0], || format!("world core stands still for {pause} us"));
            self.paused_until_us = stage.now_us + pause;
        }
    }
}

/// How long the disk takes.
pub(super) fn duration_us(op: &DiskOp, stage: &mut Stage) -> u64 {
    match op {
        DiskOp::Sync { .. } | DiskOp::SyncFolder => {
            match stage.strikes(Fault::SyncSlow, Struck::Everybody) {
                true => stage.chance.within(2_000, 120_000),
                false => stage.chance.within(80, 600) + stall_us(stage),
            }
        }
        DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Unlink { .. } => {
            stage.chance.within(10, 60)
        }
    }
}

fn stall_us(stage: &mut Stage) -> u64 {
    match stage.strikes(Fault::DiskStalled, Struck::Everybody) {
        true => stage.chance.within(200_000, 1_000_000),
        false => 0,
    }
}
