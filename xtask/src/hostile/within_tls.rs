//! The attacks on a listener of TLS: on its handshakes, with nothing but bytes; and within it, by a
//! tunnel that shakes hands for whoever cannot.

use super::attacks::{Attack, Ground, Held, Logs, MANY, ONE, pipelined, slow_body, slow_head};
use crate::{Failure, process, programs};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Handshakes that are begun, one after another, and left in the middle.
const LEFT: usize = 1_500;
/// What comes first on the wire where a handshake is answered: a record of a handshake.
const HANDSHAKE: u8 = 22;

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "TLS: nothing", logs: Logs::Nothing, run: |_| Ok(Held::default()) },
    Attack {
        name: "TLS: silent",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-silent", MANY, |_| Vec::new()),
    },
    Attack { name: "TLS: noise", logs: Logs::Nothing, run: |g| g.hold("tls-noise", MANY, noise) },
    Attack {
        name: "TLS: plain text",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-plain", MANY, slow_head),
    },
    Attack {
        name: "TLS: slow hellos",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-slow", MANY, |at| hello()[..at % 50 + 6].to_vec()),
    },
    Attack {
        name: "TLS: endless hellos",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-endless", MANY, endless_hello),
    },
    Attack {
        name: "TLS: hellos, no more",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-hello", MANY, |_| hello()),
    },
    Attack {
        name: "TLS: hello after hello",
        logs: Logs::Nothing,
        run: |g| g.hold("tls-again", MANY, |_| hello().repeat(100)),
    },
    Attack { name: "TLS: half closed", logs: Logs::Nothing, run: half_closed },
    Attack { name: "TLS: left midway", logs: Logs::Nothing, run: left_midway },
    Attack {
        name: "within: slow heads",
        logs: Logs::Nothing,
        run: |g| g.within("within-heads", ONE, slow_head),
    },
    Attack {
        name: "within: slow bodies",
        logs: Logs::Nothing,
        run: |g| g.within("within-bodies", ONE, slow_body),
    },
    Attack {
        name: "within: not taken",
        logs: Logs::Nothing,
        run: |g| g.within("within-reads", ONE, pipelined),
    },
];

/// Who shakes hands for those who cannot, and has made the files for it.
pub(super) struct Tunnel {
    child: Child,
    /// Where it takes connections.
    pub(super) address: SocketAddr,
    folder: PathBuf,
}

impl Tunnel {
    pub(super) fn start(root: &Path) -> Result<Tunnel, Failure> {
        let build = "build --quiet --locked -p wholly-tls --example tunnel";
        process::run(root, "cargo", build.split(' '))?;
        let tried = |e: std::io::Error| Failure::new(format!("starting the tunnel failed: {e}"));
        let folder = std::env::temp_dir().join(format!("wholly-tunnel-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(tried)?;
        let program = programs::target(root).join("debug/examples/tunnel");
        let mut command: Command = process::mortal("KILL");
        command.arg("--").arg(program).arg(&folder);
        let (child, ready) = process::serve(&mut command).map_err(tried)?;
        let address = ready.ok_or_else(|| Failure::new("the tunnel did not start"))?;
        Ok(Tunnel { child, address, folder })
    }

    /// The settings of a listener to which it leads.
    pub(super) fn settings(&self) -> [String; 2] {
        let file = |name: &str| self.folder.join(name).display().to_string();
        [
            format!("tls.certificate={}", file("listener.pem")),
            format!("tls.key={}", file("listener.key")),
        ]
    }

    pub(super) fn lead_to(&mut self, listener: SocketAddr) -> Result<(), Failure> {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{listener}")
            .map_err(|e| Failure::new(format!("the tunnel was not told where to lead: {e}")))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// No record of TLS, and of no other kind either.
fn noise(at: usize) -> Vec<u8> {
    let mut state = at as u32 | 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(64 << 10).collect()
}

/// A message with its length before it, in so many bytes.
fn framed(digits: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("messages are small").to_be_bytes();
    [&length[4 - digits..], bytes].concat()
}

fn extension(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[0, kind], &framed(2, bytes)[..]].concat()
}

/// The first message of a client (RFC 8446 part 4.1.2), which is answered with key and signature.
fn hello() -> Vec<u8> {
    let share = [&[0, 0x1d][..], &framed(2, &[9; 32])].concat();
    let extensions = [
        extension(43, &framed(1, &[3, 4])),
        extension(10, &framed(2, &[0, 0x1d])),
        extension(13, &framed(2, &[4, 3])),
        extension(51, &framed(2, &share)),
    ];
    let body = [
        &[3, 3][..],
        &[7; 32],
        &framed(1, &[5; 32]),
        &framed(2, &[0x13, 1]),
        &framed(1, &[0]),
        &framed(2, &extensions.concat()),
    ];
    let message = [&[1][..], &framed(3, &body.concat())].concat();
    [&[HANDSHAKE, 3, 1][..], &framed(2, &message)].concat()
}

/// A first message of as many bytes as its length can say, in records of the largest size.
fn endless_hello(_at: usize) -> Vec<u8> {
    let message = [&[1, 0xff, 0xff, 0xff][..], &vec![3; 1 << 20]].concat();
    let records = message.chunks(16 << 10);
    records.flat_map(|part| [&[HANDSHAKE, 3, 1][..], &framed(2, part)].concat()).collect()
}

/// Clients that say hello and nothing more, ever, and go on listening.
fn half_closed(ground: &Ground) -> Result<Held, Failure> {
    let held = ground.hold("tls-half", MANY, |_| hello())?;
    // Who was refused has nothing left to close.
    held.streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Write)));
    Ok(held)
}

/// The work of a handshake is done, and nobody stays for it.
fn left_midway(ground: &Ground) -> Result<Held, Failure> {
    for at in 0..LEFT {
        let tried = |e: std::io::Error| Failure::new(format!("hello {at} is not answered: {e}"));
        let mut stream = ground.open(ONE[0]).map_err(tried)?;
        stream.write_all(&hello()).map_err(tried)?;
        let mut first = [0];
        stream.read_exact(&mut first).map_err(tried)?;
        if first != [HANDSHAKE] {
            return Err(Failure::new(format!("hello {at} is answered by a record {first:?}")));
        }
    }
    Ok(Held { name: "tls-left", streams: Vec::new() })
}
