//! Throughput beside the floor: coordinator and floor take turns in short slices, so that a change
//! of the machine's speed meets both; every figure is a median over the slices.

use crate::client::{Broken, Target};
use crate::load::{self, Server, Workload};
use crate::process::{self, Coordinator};
use crate::report::{self, Row, Sample};
use crate::{Ground, Length, open};
use std::time::Duration;

/// What is measured.
struct Course {
    clients: &'static [usize],
    pairs: usize,
    slice: Duration,
}

const FULL: Course = Course { clients: &[1, 16, 64, 256], pairs: 5, slice: Duration::from_secs(3) };
const QUICK: Course = Course { clients: &[64], pairs: 3, slice: Duration::from_secs(2) };

/// Connections, caches and the first pages of the log are not what is measured.
pub(crate) const WARM: Duration = Duration::from_millis(500);

/// Measures and prints.
pub(crate) async fn run(ground: &Ground) -> Result<(), Broken> {
    let coordinator =
        Coordinator::new(&ground.program, ground.folder.join("data"), ground.participants);
    let (course, open) = match ground.length {
        Length::Quick => (QUICK, None),
        Length::Full => (FULL, Some(&coordinator)),
    };
    let rows = measure(&course, &coordinator, ground).await?;
    let open = match open {
        Some(coordinator) => Some(open::measure(coordinator, &ground.folder).await?),
        None => None,
    };
    report::print(&rows, open.as_ref(), ground.form);
    Ok(())
}

async fn measure(
    course: &Course,
    coordinator: &Coordinator,
    ground: &Ground,
) -> Result<Vec<Row>, Broken> {
    let (server, _) = coordinator.start().await?;
    let floor = process::start_floor(&ground.folder, ground.participants).await?;
    let (own, beside) = (Target::from(server.address), Target::from(floor.address));
    let mut rows = Vec::new();
    for workload in [Workload::Saga, Workload::Tcc] {
        for clients in course.clients {
            ground.say(&format!("{}, {clients} clients", workload.name()));
            let of_own = |time| load::run(&own, Server::Coordinator, workload, *clients, time);
            let of_floor = |time| load::run(&beside, Server::Floor, workload, *clients, time);
            of_own(WARM).await?;
            of_floor(WARM).await?;
            let mut samples = Vec::new();
            for _ in 0..course.pairs {
                let before = Counters::read(&server).await?;
                let own = of_own(course.slice).await?;
                let after = Counters::read(&server).await?;
                let floor_cpu = floor.cpu_seconds()?;
                let beside = of_floor(course.slice).await?;
                let floor_cpu = floor.cpu_seconds()? - floor_cpu;
                samples.push(Sample { own, beside, spent: after.since(&before), floor_cpu });
            }
            rows.push(Row::new(workload, *clients, &samples));
        }
    }
    server.kill().await?;
    floor.kill().await?;
    Ok(rows)
}

/// What a coordinator has spent.
pub(crate) struct Counters {
    pub(crate) cpu_seconds: f64,
    pub(crate) syncs: f64,
    pub(crate) log_bytes: f64,
}

impl Counters {
    async fn read(server: &process::Server) -> Result<Counters, Broken> {
        Ok(Counters {
            cpu_seconds: server.cpu_seconds()?,
            syncs: server.metric("wholly_log_flushes_total").await?,
            log_bytes: server.metric("wholly_log_batch_bytes_total").await?,
        })
    }

    fn since(&self, before: &Counters) -> Counters {
        Counters {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            syncs: self.syncs - before.syncs,
            log_bytes: self.log_bytes - before.log_bytes,
        }
    }
}
