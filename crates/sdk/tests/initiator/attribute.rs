//! `#[global_transaction]`: the function is the scope.

use crate::double::{Act, Double, aborted, document, problem, refused};
use crate::{Lock, NoCustomer};
use wholly::{Cause, Error, Participant, Wholly, global_transaction};

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Wholly(#[from] Error),
    #[error(transparent)]
    NoCustomer(#[from] NoCustomer),
}

#[derive(Clone)]
struct App {
    wholly: Wholly,
    stock: Participant,
}

#[derive(Clone, Copy)]
enum Customer {
    Known,
    Unknown,
}

#[global_transaction(app.wholly, "place-order", timeout = "30s", gid = format!("order-{order}"))]
async fn place_order(app: &App, order: u32, customer: Customer) -> Result<u32, AppError> {
    let locked = app.stock.call(Lock { sku: order }).await?;
    match customer {
        Customer::Known => {}
        Customer::Unknown => return Err(NoCustomer.into()),
    }
    Ok(locked.warehouse)
}

#[global_transaction(app.wholly, "outer")]
async fn outer(app: App) -> Result<u32, AppError> {
    Ok(place_order(&app, 1, Customer::Known).await? + place_order(&app, 1, Customer::Known).await?)
}

/// Types that a `let` cannot name, and generics.
#[global_transaction(app.wholly, "shown", wait = decided)]
async fn shown<T: std::fmt::Display + Send>(
    app: &App,
    what: T,
) -> Result<impl std::fmt::Display + use<T>, Box<dyn std::error::Error + Send + Sync>> {
    app.stock.call(Lock { sku: 1 }).await?;
    Ok(format!("{what}"))
}

trait Shop {
    fn order(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Shop for App {
    #[global_transaction(self.wholly, "in-a-trait")]
    async fn order(&self) -> Result<(), Error> {
        self.stock.call(Lock { sku: 1 }).await?;
        Ok(())
    }
}

async fn app(script: &[(&'static str, &[Act])]) -> (Double, App) {
    let double = Double::start(script).await;
    let (wholly, stock) = (double.wholly.clone(), double.wholly.participant("stock"));
    (double, App { wholly, stock })
}

#[tokio::test]
async fn ok_commits() {
    let (double, app) = app(&[]).await;
    let task = tokio::spawn(async move { place_order(&app, 4711, Customer::Known).await });
    assert_eq!(task.await.unwrap().unwrap(), 7);
    assert_eq!(double.kinds(), "begin register commit");
    let begin = double.first("begin").await;
    assert_eq!(begin.body, r#"{"name":"place-order","gid":"order-4711","timeout_ms":30000}"#);
}

#[tokio::test]
async fn err_aborts_and_is_the_functions_own() {
    let (double, app) = app(&[]).await;
    let error = place_order(&app, 1, Customer::Unknown).await.unwrap_err();
    assert!(matches!(error, AppError::NoCustomer(_)), "{error:?}");
    assert_eq!(double.kinds(), "begin register abort");
}

#[tokio::test]
async fn a_refusal_passed_on_is_the_functions_own() {
    let (double, app) =
        app(&[("register", &[refused("out_of_stock")]), ("abort", &[aborted()])]).await;
    let error = place_order(&app, 1, Customer::Known).await.unwrap_err();
    assert!(
        matches!(&error, AppError::Wholly(error) if error.is_refused("out_of_stock")),
        "{error:?}"
    );
    let abort = double.first("abort").await;
    assert!(abort.body.ends_with(r#""branch":"stock.lock"}"#), "{}", abort.body);
}

#[tokio::test]
async fn what_was_not_committed_comes_by_from() {
    let deadline = document("finishing", "abort", "", "deadline");
    let script: &[(&str, &[Act])] = &[("commit", &[problem(409, "decided", "never", &deadline)])];
    let (_double, app) = app(script).await;
    let error = place_order(&app, 1, Customer::Known).await.unwrap_err();
    let AppError::Wholly(Error::Aborted { cause, .. }) = error else { panic!("{error:?}") };
    assert_eq!(cause, Cause::Deadline);
}

#[tokio::test]
async fn a_function_called_within_joins() {
    let (double, app) = app(&[]).await;
    assert_eq!(outer(app).await.unwrap(), 14);
    assert_eq!(double.kinds(), "begin register register commit");
}

#[tokio::test]
async fn generics_and_traits_do() {
    let (double, app) = app(&[]).await;
    assert_eq!(shown(&app, 3).await.unwrap().to_string(), "3");
    tokio::spawn(async move { app.order().await }).await.unwrap().unwrap();
    assert_eq!(double.kinds(), "begin register commit begin register commit");
}
