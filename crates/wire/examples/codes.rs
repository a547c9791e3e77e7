//! Prints `docs/codes.md`; `cargo xtask tidy --write-codes` keeps what it prints.

fn main() {
    print!("{}", wholly_wire::problem::pages());
}
