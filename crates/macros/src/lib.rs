//! Attributes and derives of the SDK: a thin shell over what the SDK does without them.

mod duration;
mod global_transaction;
mod operation;

use proc_macro::TokenStream;

/// Makes a struct an operation: the contract between who calls it and who offers it.
///
/// ```text
/// #[derive(Serialize, Deserialize, Operation)]
/// #[operation(name = "stock.lock", mode = tcc, reply = Locked)]
/// pub struct Lock { pub sku: String, pub quantity: i64 }
/// ```
///
/// `mode` is `tcc` or `saga`; `reply` is `()` where it is left out.
#[proc_macro_derive(Operation, attributes(operation))]
pub fn operation(input: TokenStream) -> TokenStream {
    operation::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs an async function as a global transaction: `Ok` commits, `Err`, panic and drop abort.
///
/// ```text
/// #[global_transaction(app.wholly, "place-order", timeout = "30s")]
/// async fn place_order(State(app): State<App>, ..) -> Result<Json<Placed>, AppError> { .. }
/// ```
///
/// The first argument is the client, any expression over the function's own arguments; the second
/// is the transaction's name. `timeout = "30s"`, `gid = expression` and `wait = ended` may follow.
/// The function returns `Result<T, E>` where `E: From<wholly::Error>`. Called within a global
/// transaction it joins that one, and leaves the decision to whoever began it.
#[proc_macro_attribute]
pub fn global_transaction(arguments: TokenStream, function: TokenStream) -> TokenStream {
    global_transaction::expand(arguments.into(), function.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    /// Expands the text and checks where the error stands and what it says.
    pub(crate) fn check_error(
        expand: impl Fn(TokenStream) -> syn::Result<TokenStream>,
        text: &str,
        at: &str,
        message: &str,
    ) {
        let error = expand(text.parse().unwrap()).expect_err(text);
        let said = error.to_string();
        assert!(said.contains(message), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{text}: {said}");
        let column = error.span().start().column;
        assert!(text[column..].starts_with(at), "{text}: stands at `{}`: {said}", &text[column..]);
    }
}
