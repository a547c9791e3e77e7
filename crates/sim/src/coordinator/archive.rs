//! The archive beside the coordinator's disk: its operations take their time and die in the middle.

use super::Coordinator;
use super::machine::PROBED_OF;
use crate::agenda::Event;
use crate::cells::Struck;
use crate::disk::Flawed;
use crate::tally::{Fault, Sight};
use crate::world::{Stage, Stream};
use wholly_core::ids::Gid;
use wholly_core::input::Input;
use wholly_store::archive::twin::Twin;
use wholly_store::archive::{ArchiveOp, carry_out};
use wholly_store::contract::Lookup;
use wholly_store::disk::DiskOp;

impl Coordinator {
    /// Asks the store; what it knows comes a little later.
    pub(super) fn look_up(&mut self, gid: Gid, stage: &mut Stage) {
        let Some(process) = &self.process else { return };
        let disk = Flawed::new(&self.disk, stage.luck());
        let found = process.log.history(&gid, &disk);
        let struck = disk.struck();
        let input = match found {
            Ok(Lookup { records, forgotten }) => Input::Found { gid, records, forgotten },
            Err(_) if struck > 0 => {
                stage.tally.sight(Sight::LookupFailed);
                Input::Unreadable { gid }
            }
            Err(error) => return stage.court.refuse("decided once", error.to_string()),
        };
        stage.tally.sight(Sight::LookedUp);
        let slow = stage.strikes(Fault::LookupSlow, Struck::Everybody);
        let wait = stage.chance.within(0, if slow { 100_000 } else { 600 });
        stage.after(wait, Event::LookedUp { life: self.life, input: Box::new(input) });
    }

    /// Another archive with the content of its own.
    pub(super) fn twin_copy(&self) -> Option<Twin> {
        self.twin.as_ref().map(Twin::copy)
    }

    /// Gives the archive its next work, if it has none.
    pub(super) fn pump_archive(&mut self, stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        if process.archiving.is_none()
            && let Some(op) = process.log.next_archive()
        {
            process.archiving = Some(op);
            process.archive_ops += 1;
            let (life, number) = (self.life, process.archive_ops);
            stage.apart([Stream::Archive as u64, u64::from(life), number], |stage| {
                let longest = *stage.chance.pick(&[200, 2_000, 20_000]);
                let wait = stage.chance.within(20, longest);
                stage.after(wait, Event::ArchiveDone { life });
            });
        }
    }

    /// The archive is done with what it was asked.
    pub fn archive_done(&mut self, life: u32, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        let (Some(process), Some(twin)) = (&mut self.process, &self.twin) else { return };
        let Some(op) = process.archiving.take() else { return };
        stage.note([24, u64::from(life), 0], || format!("archive {op}"));
        let done = carry_out(&op, &self.disk, &mut twin.in_use());
        let tried = match op {
            ArchiveOp::Put { .. } => false,
            ArchiveOp::Commit { .. } => stage.chance.below(PROBED_OF) == 0,
            ArchiveOp::Remove { .. } => true,
        };
        if tried {
            self.try_without_power(&op, stage);
        }
        let Some(process) = &mut self.process else { return };
        let committed = match op {
            ArchiveOp::Put { .. } => false,
            ArchiveOp::Commit { .. } => {
                stage.tally.sight(Sight::HandedOver);
                true
            }
            ArchiveOp::Remove { .. } => {
                stage.tally.sight(Sight::SliceForgotten);
                false
            }
        };
        let completions = process.log.complete_archive(done);
        if committed && let Err(what) = process.log.audit() {
            stage.court.refuse("a list shows each transaction once", what);
        }
        for completion in completions {
            self.completed(completion, stage);
        }
        self.pump(stage);
    }

    /// The process died over these operations: each has happened, or has not, or in part.
    pub(super) fn cut_short(
        &mut self,
        (op, archiving): (Option<DiskOp>, Option<ArchiveOp>),
        stage: &mut Stage,
    ) {
        if archiving.is_some() {
            stage.tally.sight(Sight::DiedHandingOver);
        }
        if let (Some(op), Some(twin)) = (archiving, &self.twin)
            && stage.chance.below(2) == 0
        {
            let done = carry_out(&op, &self.disk, &mut twin.in_use());
            if let Err(error) = done {
                stage.court.refuse("decided once", format!("{op} failed: {error}"));
            }
        }
        if let Some(op) = op {
            self.disk.cut_short(&op, &mut stage.chance);
        }
    }
}
