//! A world: one coordinator and the three services, each a process, on folders and ports of their
//! own; and everything a scene does to it.

use super::process::{BOUND, Process, READY};
use crate::complaint::{Complaint, Kind};
use crate::http_client::{Ask, Reply, Unanswered, escape};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wholly_shop::books::Books;
use wholly_shop::faults::Fault;
use wholly_shop::order::{Mode, Order};
use wholly_shop::service::Role;
use wholly_wire::v1::answer::Transaction;

/// Longest that one request of the demonstration may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Longest that a transaction may take to end once everything runs.
const END_MAX: Duration = Duration::from_secs(30);

/// What a world is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// The loopback address of all its processes.
    pub(crate) host: Ipv4Addr,
    /// Where the coordinator listens; port 0 takes a free one.
    pub(crate) port: u16,
    /// How long an order may take before it is undone.
    pub(crate) patience: Duration,
}

/// One coordinator and three services.
pub(crate) struct World {
    folder: PathBuf,
    patience: Duration,
    coordinator: Place,
    services: BTreeMap<Role, Place>,
}

/// A process and where it listens.
struct Place {
    address: SocketAddr,
    process: Process,
}

/// Who may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// One of the services.
    Service(Role),
    /// The coordinator.
    Coordinator,
}

/// What the customer heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The order was placed.
    Placed,
    /// It was not, for this reason.
    Cancelled(String),
    /// The service could not say.
    Unsure(String),
    /// The service did not answer.
    Nothing,
}

impl World {
    /// Starts the processes and waits until each says that it serves.
    pub(crate) async fn start(folder: &Path, terms: &Terms) -> Result<World, Complaint> {
        let any = SocketAddr::from((terms.host, 0));
        let mut services = BTreeMap::new();
        for role in Role::ALL {
            let process = start_service(folder, role, any, terms.patience, None)?;
            services.insert(role, Place { address: any, process });
        }
        for place in services.values_mut() {
            place.address = address(&place.process.hear(BOUND).await?)?;
        }
        let listen = SocketAddr::from((terms.host, terms.port));
        let mut process = start_coordinator(folder, listen, &services)?;
        let coordinator = Place { address: address(&process.hear(READY).await?)?, process };
        for place in services.values_mut() {
            place.process.tell(&format!("http://{}", coordinator.address)).await?;
        }
        for place in services.values_mut() {
            place.process.hear(READY).await?;
        }
        Ok(World { folder: folder.to_owned(), patience: terms.patience, coordinator, services })
    }

    /// The coordinator's address as a command takes it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.coordinator.address)
    }

    /// Kills one with SIGKILL.
    pub(crate) async fn kill(&mut self, victim: Victim) -> Result<(), Complaint> {
        self.place(victim).process.kill().await
    }

    /// Starts a killed one again, with its folder and its port.
    pub(crate) async fn restart(&mut self, victim: Victim) -> Result<(), Complaint> {
        let address = self.place(victim).address;
        let mut process = match victim {
            Victim::Coordinator => start_coordinator(&self.folder, address, &self.services)?,
            Victim::Service(role) => {
                let url = self.url();
                start_service(&self.folder, role, address, self.patience, Some(&url))?
            }
        };
        process.hear(READY).await?;
        self.place(victim).process = process;
        Ok(())
    }

    /// Kills all of them and waits until they are gone.
    pub(crate) async fn stop(mut self) -> Result<(), Complaint> {
        for place in self.services.values_mut() {
            place.process.kill().await?;
        }
        self.coordinator.process.kill().await
    }

    fn place(&mut self, victim: Victim) -> &mut Place {
        match victim {
            Victim::Coordinator => &mut self.coordinator,
            Victim::Service(role) => {
                self.services.get_mut(&role).expect("a world has all services")
            }
        }
    }

    fn service_url(&self, role: Role, path: &str) -> String {
        format!("http://{}{path}", self.services[&role].address)
    }

    /// Tells a service what is to go wrong there.
    pub(crate) async fn set_fault(&self, role: Role, fault: &Fault) -> Result<(), Complaint> {
        let body = serde_json::to_value(fault).expect("a fault is JSON");
        self.control(Ask::post(self.service_url(role, "/faults"), body)).await
    }

    /// Waits until a fault of this transaction has struck there.
    pub(crate) async fn until_struck(&self, role: Role, gid: &str) -> Result<(), Complaint> {
        let path = format!("/faults/{}", escape(gid));
        self.control(Ask::read(self.service_url(role, &path))).await
    }

    /// Ends the faults of this transaction there, and lets go what they hold.
    pub(crate) async fn end_faults(&self, role: Role, gid: &str) -> Result<(), Complaint> {
        let path = format!("/faults/{}", escape(gid));
        self.control(Ask::delete(self.service_url(role, &path))).await
    }

    async fn control(&self, ask: Ask) -> Result<(), Complaint> {
        let said = ask.clone();
        match ask.within(REQUEST_MAX).send().await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => {
                let happened = format!("{said} was answered {}", reply.status);
                Err(Complaint::new(Kind::NotDone, happened))
            }
            Err(error) => Err(Complaint::because(Kind::NotDone, "a fault was not set", &error)),
        }
    }

    /// A customer's order, to be sent when awaited; it does not hold on to the world.
    pub(crate) fn order(&self, mode: Mode, order: &Order) -> impl Future<Output = Heard> + use<> {
        let mode = match mode {
            Mode::Tcc => "tcc",
            Mode::Saga => "saga",
        };
        let url = self.service_url(Role::Order, &format!("/orders?mode={mode}"));
        let body = serde_json::to_value(order).expect("an order is JSON");
        async move { heard(Ask::post(url, body).within(REQUEST_MAX).send().await) }
    }

    /// Waits until a transaction has ended; none if the coordinator never heard of it.
    pub(crate) async fn end_of(
        &self,
        gid: &str,
    ) -> Result<Option<Transaction<'static>>, Complaint> {
        let path = format!("/v1/transactions/{}?wait=ended&wait_ms=5000", escape(gid));
        let since = Instant::now();
        loop {
            let answer =
                Ask::read(format!("{}{path}", self.url())).within(REQUEST_MAX).send().await;
            let late = since.elapsed() > END_MAX;
            match answer {
                Ok(reply) if reply.status.as_u16() == 404 => return Ok(None),
                Ok(reply) if reply.status.is_success() => {
                    let document = parse(gid, reply)?;
                    if document.ended().is_some() {
                        return Ok(Some(document));
                    }
                    if late {
                        let state = document.state;
                        let happened = format!("{gid} has not ended in {END_MAX:?}: {state}");
                        return Err(Complaint::new(Kind::NotDone, happened));
                    }
                }
                Ok(reply) => {
                    let happened = format!("asked for {gid}: {} {}", reply.status, reply.body);
                    return Err(Complaint::new(Kind::NotDone, happened));
                }
                Err(error) => {
                    let happened = format!("asked for {gid}");
                    return Err(Complaint::because(Kind::NotDone, happened, &error));
                }
            }
        }
    }

    /// Reads the three databases.
    pub(crate) async fn books(&self) -> Result<Books, Complaint> {
        Books::read(&self.folder)
            .await
            .map_err(|error| Complaint::because(Kind::NotDone, "the books cannot be read", &error))
    }
}

fn heard(answer: Result<Reply, Unanswered>) -> Heard {
    let Ok(reply) = answer else { return Heard::Nothing };
    let text = |field: &str| reply.body[field].as_str().unwrap_or_default().to_owned();
    match text("state").as_str() {
        _ if reply.status.is_success() => Heard::Placed,
        "cancelled" => Heard::Cancelled(text("why")),
        _ => Heard::Unsure(text("why")),
    }
}

fn parse(gid: &str, reply: Reply) -> Result<Transaction<'static>, Complaint> {
    serde_json::from_value(reply.body).map_err(|error| {
        Complaint::because(Kind::NotDone, format!("the document of {gid} is none"), &error)
    })
}

fn address(said: &str) -> Result<SocketAddr, Complaint> {
    said.trim_start_matches("http://").parse().map_err(|_| {
        Complaint::new(Kind::NotDone, format!("a process says that it listens on `{said}`"))
    })
}

fn start_service(
    folder: &Path,
    role: Role,
    listen: SocketAddr,
    patience: Duration,
    coordinator: Option<&str>,
) -> Result<Process, Complaint> {
    let mut words: Vec<OsString> = vec!["shop-service".into(), role.name().into()];
    words.extend(["--data".into(), folder.into()]);
    words.extend(["--listen".into(), listen.to_string().into()]);
    words.extend(["--patience-ms".into(), patience.as_millis().to_string().into()]);
    words.push("--until-stdin-ends".into());
    if let Some(url) = coordinator {
        words.extend(["--coordinator".into(), url.into()]);
    }
    Process::start(role.name(), &folder.join(role.name()).with_extension("log"), &words)
}

fn start_coordinator(
    folder: &Path,
    listen: SocketAddr,
    services: &BTreeMap<Role, Place>,
) -> Result<Process, Complaint> {
    let mut words: Vec<OsString> = vec!["serve".into(), "--data".into()];
    words.push(folder.join("coordinator").into());
    words.extend(["--listen".into(), listen.to_string().into()]);
    for (role, place) in services {
        let named = format!("{}=http://{}", role.name(), place.address);
        words.extend(["--destination".into(), named.into()]);
    }
    for setting in SETTINGS {
        words.extend(["--set".into(), setting.into()]);
    }
    words.push("--until-stdin-ends".into());
    Process::start("coordinator", &folder.join("coordinator.log"), &words)
}

/// Short waits, so that a demonstration of lost time loses little.
const SETTINGS: [&str; 5] = [
    "calls.timeout_ms=300",
    "calls.backoff_ms=20",
    "calls.backoff_ms_max=200",
    "calls.ramp_ms=50",
    "requests.stop_ms_max=500",
];
