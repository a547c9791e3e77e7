//! A complaint: what happened, what it means for the data, what to do; and the exit code.

use std::fmt;
use std::process::ExitCode;

/// Why a command could not do what was asked.
#[derive(Debug)]
pub(crate) struct Complaint {
    kind: Kind,
    happened: String,
    means: String,
    advice: String,
}

/// How a command ended, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The outside failed, or what was checked is wrong.
    NotDone,
    /// The command line is wrong in a way that clap cannot see.
    Usage,
    /// The coordinator did not answer.
    NoAnswer,
    /// The coordinator refused.
    Refused,
}

impl Kind {
    /// The code of the table in the help.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::NotDone => 1,
            Kind::Usage => 2,
            Kind::NoAnswer => 3,
            Kind::Refused => 4,
        }
    }
}

impl Complaint {
    /// Says what happened; the rest follows.
    pub(crate) fn new(kind: Kind, happened: impl Into<String>) -> Complaint {
        Complaint { kind, happened: happened.into(), means: String::new(), advice: String::new() }
    }

    /// The same with the causes of an error behind it.
    pub(crate) fn because(
        kind: Kind,
        happened: impl Into<String>,
        error: &dyn std::error::Error,
    ) -> Complaint {
        Complaint::new(kind, format!("{}: {}", happened.into(), chain(error)))
    }

    /// What it means for the data.
    pub(crate) fn means(mut self, text: impl Into<String>) -> Complaint {
        self.means = text.into();
        self
    }

    /// What to do.
    pub(crate) fn advice(mut self, text: impl Into<String>) -> Complaint {
        self.advice = text.into();
        self
    }

    /// How the command ended.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.happened)?;
        for (label, text) in [("data", &self.means), ("to do", &self.advice)] {
            if !text.is_empty() {
                write!(f, "\n  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Complaint {}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_says_what_happened_what_it_means_and_what_to_do() {
        let complaint = Complaint::new(Kind::NoAnswer, "nobody listens on 127.0.0.1:7700")
            .means("nothing was changed")
            .advice("start it with `wholly serve --dev`");
        let expected = "nobody listens on 127.0.0.1:7700\n  data: nothing was changed\n  \
                        to do: start it with `wholly serve --dev`";
        assert_eq!(complaint.to_string(), expected);
        assert_eq!(Kind::NoAnswer.code(), 3);
    }
}
