//! What `#[global_transaction]` expands to; without the macro it is `transaction(..).run(..)`.
//!
//! A function that cannot say that it was aborted does not compile:
//!
//! ```compile_fail,E0277
//! #[wholly::global_transaction(wholly, "n")]
//! async fn f(wholly: wholly::Wholly) -> Result<(), std::fmt::Error> {
//!     Ok(())
//! }
//! ```
//!
//! ```
//! #[wholly::global_transaction(wholly, "n")]
//! async fn f(wholly: wholly::Wholly) -> Result<(), wholly::BoxError> {
//!     Ok(())
//! }
//! ```

use crate::client::Wholly;
use crate::outcome::Error;
use crate::scope::{self, Failing, Settlement, Unfinished};
use crate::transaction::Begin;
use std::future::Future;

/// The return type of a function under `#[global_transaction]`.
#[diagnostic::on_unimplemented(
    message = "a global transaction returns `Result<T, E>` where `E: From<wholly::Error>`",
    label = "this function cannot say that it was aborted",
    note = "give its error type a variant by `#[error(transparent)] Wholly(#[from] wholly::Error)`"
)]
pub trait Returned {
    /// What it gives on commit.
    type Value;
    /// What it gives otherwise.
    type Error: From<Error>;
    /// As the result it is.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
    /// From the result it is.
    fn from_result(result: Result<Self::Value, Self::Error>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> Returned for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Result<T, E> {
        self
    }

    fn from_result(result: Result<T, E>) -> Self {
        result
    }
}

/// The client that the attribute names.
pub fn client(client: &Wholly) -> &Wholly {
    client
}

/// Stands where the compiler needs a type and no value ever comes.
///
/// # Panics
/// Always; the branch that holds it is never taken.
pub fn of_type<T>() -> T {
    unreachable!("the branch is there for its type alone")
}

/// Runs a function's body as a global transaction. The function's own error comes back as it is.
pub async fn run<R: Returned>(begin: Begin, body: impl Future<Output = R>) -> R {
    let body = async move |transaction: crate::Transaction| {
        let said = body.await.into_result();
        said.map_err(|error| (Failing::unsaid(transaction.open()), error))
    };
    let ran = scope::run(begin, body, |(failing, _): &(Failing, R::Error)| failing.clone()).await;
    R::from_result(ran.map_err(|unfinished| match unfinished {
        Unfinished::Ours(error) => R::Error::from(error),
        Unfinished::Theirs { error: (_, error), gid, settled } => match settled {
            Settlement::Aborted(_) => error,
            Settlement::Differs(_)
            | Settlement::EndUnknown { .. }
            | Settlement::Parked
            | Settlement::Committed => R::Error::from(settled.into_error(gid, None)),
        },
    }))
}
