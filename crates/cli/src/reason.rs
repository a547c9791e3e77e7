//! Why an operator orders something: as he said, or as he says when he is asked.

use crate::complaint::{Complaint, Kind};
use std::io::{BufRead, IsTerminal, Write};

/// What the audit has of whoever said nothing.
const NONE: &str = "none given";

/// The reason. On a terminal it is asked for; elsewhere, and where the answer is empty, there is
/// none: who drains a coordinator in the night shall not be kept by a form.
pub(crate) fn reason(said: Option<String>) -> Result<String, Complaint> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match (said, is_terminal) {
        (Some(reason), _) => Ok(reason),
        (None, false) => Ok(NONE.to_owned()),
        (None, true) => ask(&mut std::io::stdin().lock(), &mut std::io::stderr()),
    }
}

fn ask(answers: &mut impl BufRead, asks: &mut impl Write) -> Result<String, Complaint> {
    let mut answer = String::new();
    let heard = asks
        .write_all("why? (whoever looks sees it, and the audit keeps it) ".as_bytes())
        .and_then(|()| asks.flush())
        .and_then(|()| answers.read_line(&mut answer));
    heard.map_err(|error| {
        Complaint::because(Kind::Usage, "the reason cannot be asked for", &error)
            .means("nobody was asked")
            .advice("say it on the command line: --reason \"…\"")
    })?;
    match answer.trim() {
        "" => Ok(NONE.to_owned()),
        reason => Ok(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_what_was_answered() {
        let check = |answer: &str, expected: &str| {
            let mut asked = Vec::new();
            assert_eq!(ask(&mut answer.as_bytes(), &mut asked).unwrap(), expected);
            assert!(asked.starts_with(b"why?"));
        };
        check("upgrade to 0.2 \n", "upgrade to 0.2");
        check("\n", NONE);
        check("", NONE);
    }
}
