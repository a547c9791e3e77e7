//! Tells systemd how the process stands, where a unit of `Type=notify` asks for it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Names the socket that listens; without it nobody does.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It takes transactions.
    Ready,
    /// It is stopping in good order.
    Stopping,
}

/// Tells it; that nobody hears it is a line of the log and no more.
pub(crate) fn notify(stage: Stage) {
    let Some(socket) = std::env::var_os(VARIABLE) else { return };
    let message = match stage {
        Stage::Ready => "READY=1",
        Stage::Stopping => "STOPPING=1",
    };
    if let Err(error) = send(&socket, message) {
        tracing::warn!(%error, message, "{VARIABLE} could not be told");
    }
}

fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let to = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_told_by_its_path_or_by_its_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("wholly-notify-{}", std::process::id());
        let check = |address: &SocketAddr, named: &OsStr| {
            let socket = UnixDatagram::bind_addr(address).unwrap();
            send(named, "READY=1").unwrap();
            let mut buffer = [0; 16];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        };
        check(&SocketAddr::from_pathname(&path).unwrap(), path.as_os_str());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        check(&address, OsStr::new(&format!("@{name}")));
        assert!(send(OsStr::new("/nowhere/at/all"), "READY=1").is_err());
    }
}
