//! TLS as operators meet it: a coordinator with a certificate, commands that believe it or not, and
//! a certificate that is changed while it runs.

use crate::process::{Serving, check_output, wholly};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wholly_tls::authority::Authority;

/// A coordinator with a certificate for its name.
struct World {
    serving: Serving,
    /// Where it is, by its name.
    url: String,
    folder: TempDir,
}

impl World {
    fn start(known: &Authority) -> World {
        World::start_with(known, "")
    }

    /// With more lines below `[tls]`.
    fn start_with(known: &Authority, more: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = known.issue(&["localhost"]).write(folder.path(), "own");
        let file = folder.path().join("wholly.toml");
        let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n{more}");
        std::fs::write(&file, text).unwrap();
        let mut command = wholly();
        command.args(["serve", "--config"]).arg(file);
        command.arg("--data").arg(folder.path().join("data"));
        let serving = Serving::coordinate(&mut command);
        assert!(serving.url.starts_with("https://127.0.0.1:"), "{}", serving.url);
        World { url: serving.url.replace("127.0.0.1", "localhost"), serving, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its state is asked for by who believes these authorities.
    fn check(&self, ca: &PathBuf, code: i32, expected: &str) {
        let mut command = wholly();
        let output = command.args(["status", "--url", &self.url, "--ca"]).arg(ca).output().unwrap();
        check_output(&output, "status", code, expected);
    }

    fn hang_up(&self, expected: &str) {
        self.serving.hang_up(expected);
    }
}

#[test]
fn a_certificate_is_believed_by_its_authority_and_changed_by_a_signal() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let world = World::start(&first);
    let (by_first, by_second) = (first.write(world.path()), second.write(world.path()));
    world.check(&by_first, 0, "finishing");
    world.check(&by_second, 3, "name the authority that signed its certificate: --ca");
    world.check(&world.path().join("nowhere"), 3, "nowhere failed; name a file that this user");

    second.issue(&["localhost"]).write(world.path(), "own");
    world.hang_up("the destinations were read again");
    world.check(&by_second, 0, "finishing");
    world.check(&by_first, 3, "invalid peer certificate");

    std::fs::write(world.path().join("own.key"), "").unwrap();
    world.hang_up("own.key holds no private key");
    world.check(&by_second, 0, "finishing");
}

#[test]
fn clients_with_a_certificate_are_named_in_a_list_that_is_read_again() {
    let known = Authority::new("known");
    let elsewhere = tempfile::tempdir().unwrap();
    let ca = known.write(elsewhere.path());
    let list = |names: &str| format!("client_ca = {ca:?}\n{names}\n");
    let world = World::start_with(&known, &list(r#"client_names = ["orders"]"#));
    let check = |name: &str, code: i32, expected: &str| {
        let (certificate, key) = known.issue(&[name]).write(world.path(), name);
        let mut command = wholly();
        command.args(["status", "--url", &world.url, "--ca"]).arg(&ca);
        command.arg("--certificate").arg(certificate).arg("--key").arg(key);
        check_output(&command.output().unwrap(), "status", code, expected);
    };
    // A client of TLS 1.3 hears of it after its request has left, if not only that it was cut off.
    let refused = "wholly: the coordinator ";
    check("orders", 0, "finishing");
    check("points", 3, refused);

    let file = world.path().join("wholly.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[\"orders\"]", "[\"points\"]")).unwrap();
    world.hang_up("the destinations were read again");
    check("points", 0, "finishing");
    check("orders", 3, refused);

    // Without a list nothing starts, and what runs goes on as it was.
    std::fs::write(&file, text.replace("client_names", "# client_names")).unwrap();
    let unnamed = "tls.client_ca without tls.client_names does not say which of its clients";
    world.hang_up(unnamed);
    check("points", 0, "finishing");
    let mut command = wholly();
    command.args(["serve", "--config"]).arg(&file);
    command.arg("--data").arg(world.path().join("other"));
    check_output(&command.output().unwrap(), "serve", 2, unnamed);
}
