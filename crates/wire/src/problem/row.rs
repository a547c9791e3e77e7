//! What is known of a code: status, retry and page.

use crate::words::words;
use std::fmt;

/// A code that a user can see.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What a program reads.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The gRPC status.
    pub grpc: Grpc,
    /// Whether the same request may succeed, and when.
    pub retry: Retry,
    /// What a person reads first.
    pub title: &'static str,
    /// What a person reads next.
    pub page: Page,
}

/// A row of the table, as short as it can be written there.
pub(super) const fn code(
    code: &'static str,
    (status, grpc, retry): (u16, Grpc, Retry),
    title: &'static str,
    page: Page,
) -> Row {
    Row { code, status, grpc, retry, title, page }
}

/// What a person should know of a code.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// What happened.
    pub happened: &'static str,
    /// What it means for the data.
    pub data: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// Whether the same request may succeed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not without changing it.
    Never,
    /// After a while.
    Later,
    /// At once.
    Now,
}

words!(Retry { Never => "never", Later => "later", Now => "now" });

/// Statuses of gRPC that codes map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grpc {
    /// The request is wrong in itself.
    InvalidArgument,
    /// It did not arrive in time.
    DeadlineExceeded,
    /// What it is about is not there.
    NotFound,
    /// What it would make is there already.
    AlreadyExists,
    /// The asker is not known.
    Unauthenticated,
    /// The asker may not.
    PermissionDenied,
    /// A limit is reached.
    ResourceExhausted,
    /// Not in this state.
    FailedPrecondition,
    /// No such method.
    Unimplemented,
    /// A broken promise of ours.
    Internal,
    /// What was kept is damaged.
    DataLoss,
    /// Not at the moment.
    Unavailable,
}

words!(Grpc {
    InvalidArgument => "INVALID_ARGUMENT",
    DeadlineExceeded => "DEADLINE_EXCEEDED",
    NotFound => "NOT_FOUND",
    AlreadyExists => "ALREADY_EXISTS",
    Unauthenticated => "UNAUTHENTICATED",
    PermissionDenied => "PERMISSION_DENIED",
    ResourceExhausted => "RESOURCE_EXHAUSTED",
    FailedPrecondition => "FAILED_PRECONDITION",
    Unimplemented => "UNIMPLEMENTED",
    Internal => "INTERNAL",
    DataLoss => "DATA_LOSS",
    Unavailable => "UNAVAILABLE",
});

impl fmt::Display for Row {
    /// The page as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Page { happened, data, advice } = self.page;
        let retry = match self.retry {
            Retry::Never => "not without changing it",
            Retry::Later => "the same request later",
            Retry::Now => "the same request at once",
        };
        writeln!(f, "# {}: {}\n", self.code, self.title)?;
        writeln!(f, "What happened: {happened}\n")?;
        writeln!(f, "What it means for the data: {data}\n")?;
        writeln!(f, "What to do: {advice}\n")?;
        writeln!(f, "HTTP status {}. Retry: {retry}.", self.status)
    }
}
