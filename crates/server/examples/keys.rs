//! Prints `docs/operate/configuration.md` with its tables drawn from the code; `cargo xtask tidy
//! --write-keys` keeps what it prints.

fn main() -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/configuration.md");
    let page = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    print!("{}", wholly_server::config::with_tables(&page)?);
    Ok(())
}
