//! Why a participant's work was not done: a refusal is final, a failure is asked again.

use std::error::Error;
use std::fmt;
use wholly_core::ids::{Code, Text};

/// Why a try or an action was not done.
///
/// `?` makes any [`std::error::Error`] a failure: its local transaction is rolled back and the
/// coordinator asks again. Only [`refuse!`](crate::refuse),
/// [`refuse_unless!`](crate::refuse_unless) and [`.refuse(code)`](Refuse::refuse) refuse.
#[derive(Debug)]
pub enum NotDone {
    /// The business says no: final, kept, said again to every duplicate.
    Refused(Refused),
    /// It is not known whether it could be done: asked again.
    Failed(Failure),
}

/// A final no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    code: Code,
    detail: Text,
}

/// What went wrong; never a refusal. Any [`std::error::Error`] becomes one by `?`; for what is
/// none (as `anyhow::Error`): `.map_err(Failure::new)?`.
pub struct Failure {
    source: Box<dyn Error + Send + Sync>,
}

/// Makes an error of the domain a refusal: `self.rules.check(lock).refuse("not_sellable")?`.
pub trait Refuse<T> {
    /// Refuses with this code, the error's text being the detail.
    fn refuse(self, code: &str) -> Result<T, NotDone>;
}

impl Refused {
    /// A refusal by code (the form of a name, as `out_of_stock`) with a detail for people, of
    /// which the first 1,024 bytes are kept. A code that is no name becomes `invalid_code`, and
    /// leads the detail: a refusal stays one.
    pub fn new(code: &str, detail: impl fmt::Display) -> Self {
        match Code::new(code) {
            Ok(code) => Refused { code, detail: Text::cut(&detail.to_string()) },
            Err(_) => Refused {
                code: Code::new("invalid_code").expect("codes of ours are names"),
                detail: Text::cut(&format!("{code:?}: {detail}")),
            },
        }
    }

    /// Why, for programs.
    pub fn code(&self) -> &str {
        self.code.as_str()
    }

    /// Why, for people; may be empty.
    pub fn detail(&self) -> &str {
        self.detail.as_str()
    }

    pub(crate) fn into_parts(self) -> (Code, Text) {
        (self.code, self.detail)
    }
}

impl NotDone {
    /// A refusal; [`refuse!`](crate::refuse) is shorter.
    pub fn refused(code: &str, detail: impl fmt::Display) -> Self {
        NotDone::Refused(Refused::new(code, detail))
    }

    /// Whether it is a refusal of this code.
    pub fn is_refused(&self, code: &str) -> bool {
        match self {
            NotDone::Refused(refused) => refused.code() == code,
            NotDone::Failed(_) => false,
        }
    }
}

impl Failure {
    /// A failure from whatever has a text: a string, a boxed error, an `anyhow::Error`.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure { source: source.into() }
    }

    /// What went wrong.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.source.as_ref()
    }
}

impl fmt::Display for Failure {
    /// The error with all its causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotDone::Refused(refused) => {
                write!(f, "refused {}: {}", refused.code(), refused.detail())
            }
            NotDone::Failed(failure) => write!(f, "failed: {failure}"),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { source: Box::new(error) }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for NotDone {
    fn from(error: E) -> Self {
        NotDone::Failed(Failure::from(error))
    }
}

impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        NotDone::Failed(failure)
    }
}

impl From<Refused> for NotDone {
    fn from(refused: Refused) -> Self {
        NotDone::Refused(refused)
    }
}

impl<T, E: fmt::Display> Refuse<T> for Result<T, E> {
    fn refuse(self, code: &str) -> Result<T, NotDone> {
        self.map_err(|error| NotDone::refused(code, error))
    }
}

impl<T> Refuse<T> for Option<T> {
    fn refuse(self, code: &str) -> Result<T, NotDone> {
        self.ok_or_else(|| NotDone::refused(code, ""))
    }
}

/// Refuses and returns: `refuse!("out_of_stock", "{} is out of stock", sku)`. Final and kept.
/// Works only where [`NotDone`](crate::NotDone) is returned, so not in confirm, cancel or
/// compensate.
#[macro_export]
macro_rules! refuse {
    ($code:expr $(,)?) => {
        return ::core::result::Result::Err($crate::NotDone::refused($code, ""))
    };
    ($code:expr, $($detail:tt)+) => {
        return ::core::result::Result::Err(
            $crate::NotDone::refused($code, ::core::format_args!($($detail)+)),
        )
    };
}

/// Refuses and returns unless the condition holds:
/// `refuse_unless!(taken == 1, "out_of_stock", "{} is out of stock", sku)`.
#[macro_export]
macro_rules! refuse_unless {
    ($condition:expr, $($refusal:tt)+) => {
        if !$condition {
            $crate::refuse!($($refusal)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(free: i64) -> Result<i64, NotDone> {
        refuse_unless!(free > 0, "out_of_stock", "{} is out of stock", "sku-1");
        "no number".parse::<i64>().refuse("not_a_number")
    }

    fn fails() -> Result<i64, NotDone> {
        Ok("no number".parse::<i64>()?)
    }

    fn confirms() -> Result<(), Failure> {
        let told: Result<(), &str> = Err("the row is gone");
        told.map_err(Failure::new)
    }

    #[test]
    fn only_refusals_refuse() {
        let out = tries(0).unwrap_err();
        assert!(out.is_refused("out_of_stock"));
        assert_eq!(out.to_string(), "refused out_of_stock: sku-1 is out of stock");
        assert!(tries(1).unwrap_err().is_refused("not_a_number"));
        assert!(matches!(fails().unwrap_err(), NotDone::Failed(_)));
        assert_eq!(confirms().unwrap_err().to_string(), "the row is gone");
        assert!(None::<i64>.refuse("gone").unwrap_err().is_refused("gone"));
    }

    #[test]
    fn a_code_that_is_no_name_is_still_a_refusal() {
        let refused = Refused::new("out of stock!", "none left");
        assert_eq!(refused.code(), "invalid_code");
        assert_eq!(refused.detail(), "\"out of stock!\": none left");
    }
}
