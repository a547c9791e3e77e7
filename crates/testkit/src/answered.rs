//! What a user's closures give back, whatever they give back; a panic is an answer too.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use wholly::Wholly;

/// What the business act of a test may give back: nothing, or a result.
pub trait Answered {
    /// Whether it was done, or what it says of why not.
    fn answered(self) -> Result<(), String>;
}

impl Answered for () {
    fn answered(self) -> Result<(), String> {
        Ok(())
    }
}

impl<T, E: Display> Answered for Result<T, E> {
    fn answered(self) -> Result<(), String> {
        self.map(drop).map_err(|error| error.to_string())
    }
}

/// What the check of the books may give back: nothing (it panics if something is wrong), whether
/// they balance, or a result of these.
pub trait Balance {
    /// That all is well, or what is not.
    fn balance(self) -> Result<(), String>;
}

impl Balance for () {
    fn balance(self) -> Result<(), String> {
        Ok(())
    }
}

impl Balance for bool {
    fn balance(self) -> Result<(), String> {
        match self {
            true => Ok(()),
            false => Err("the check of the books said false".to_owned()),
        }
    }
}

impl<B: Balance, E: Display> Balance for Result<B, E> {
    fn balance(self) -> Result<(), String> {
        match self {
            Ok(inner) => inner.balance(),
            Err(error) => Err(format!("the check of the books said: {error}")),
        }
    }
}

/// How a closure of the user's ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// As it wanted.
    Well,
    /// With an error.
    Error(String),
    /// With a panic.
    Panicked(String),
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Told> + 'a>>;
/// The business act.
pub(crate) type Act<'a> = Box<dyn Fn(Wholly) -> Boxed<'a> + 'a>;
/// A check, or a preparation.
pub(crate) type Check<'a> = Box<dyn Fn() -> Boxed<'a> + 'a>;

pub(crate) fn act<'a, A, O>(act: A) -> Act<'a>
where
    A: AsyncFn(Wholly) -> O + 'a,
    O: Answered,
{
    let act = Rc::new(act);
    Box::new(move |wholly| {
        let act = Rc::clone(&act);
        Box::pin(async move { caught(async { act(wholly).await.answered() }).await })
    })
}

pub(crate) fn check<'a, C, B>(check: C) -> Check<'a>
where
    C: AsyncFn() -> B + 'a,
    B: Balance,
{
    let check = Rc::new(check);
    Box::new(move || {
        let check = Rc::clone(&check);
        Box::pin(async move { caught(async { check().await.balance() }).await })
    })
}

/// Runs to the end, a panic included.
async fn caught(future: impl Future<Output = Result<(), String>>) -> Told {
    let mut future = pin!(future);
    let polled = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Poll::Ready(Told::Well),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Told::Error(error)),
            Err(panic) => Poll::Ready(Told::Panicked(words(panic.as_ref()))),
        }
    });
    polled.await
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_balance(balance: impl Balance, expected: Result<(), &str>) {
        assert_eq!(balance.balance(), expected.map_err(str::to_owned));
    }

    #[test]
    fn whatever_a_check_gives_back_is_understood() {
        check_balance((), Ok(()));
        check_balance(true, Ok(()));
        check_balance(false, Err("the check of the books said false"));
        check_balance(Ok::<bool, &str>(true), Ok(()));
        check_balance(Ok::<bool, &str>(false), Err("the check of the books said false"));
        check_balance(Err::<(), &str>("2 missing"), Err("the check of the books said: 2 missing"));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let told = check(async || -> bool { panic!("{} missing", 2) })().await;
        assert_eq!(told, Told::Panicked("2 missing".to_owned()));
        let told = check(async || -> bool { panic!("missing") })().await;
        assert_eq!(told, Told::Panicked("missing".to_owned()));
    }
}
