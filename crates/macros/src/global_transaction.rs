//! `#[global_transaction]`: the body of an async function, handed to `wholly::rt::run`.

use crate::duration;
use crate::operation::check_name;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Expr, Ident, ItemFn, LitStr, ReturnType, Token, Type};

const EXPECTED: &str =
    "say the client and the name: #[global_transaction(app.wholly, \"place-order\")]";
const OPTIONS: &str = "the options are timeout = \"30s\", gid = expression and wait = ended";

/// Expands the attribute.
pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let mut function: ItemFn = syn::parse2(function)?;
    check_function(&function)?;
    let arguments: Arguments = syn::parse2(arguments)?;
    let begin = arguments.begin();
    let ReturnType::Type(_, returned) = &function.sig.output else {
        let message = "a global transaction returns Result<T, E> where E: From<wholly::Error>";
        return Err(syn::Error::new(function.sig.ident.span(), message));
    };
    let mut returned = (**returned).clone();
    Unnamed.visit_type_mut(&mut returned);
    let statements = &function.block.stmts;
    // The branch that is never taken tells the compiler the type before it reads the body, so that
    // errors stand at the body's own lines (learnt from tracing's `#[instrument]`).
    let run = quote_spanned! { returned.span() =>
        ::wholly::rt::run(#begin, async move {
            if false {
                return ::wholly::rt::of_type::<#returned>();
            }
            #(#statements)*
        })
        .await
    };
    function.block = syn::parse_quote!({ #run });
    Ok(function.into_token_stream())
}

fn check_function(function: &ItemFn) -> syn::Result<()> {
    if function.sig.asyncness.is_some() {
        return Ok(());
    }
    if returns_boxed_future(&function.sig.output) {
        let message = "#[async_trait] has already rewritten this function; put \
                       #[global_transaction] on an async fn outside the trait, and call that";
        return Err(syn::Error::new(function.sig.ident.span(), message));
    }
    let message = "a global transaction is an async fn: its branches are called while it runs";
    Err(syn::Error::new_spanned(function.sig.fn_token, message))
}

/// Whether an outer macro made this function return `Pin<Box<dyn Future ..>>`.
fn returns_boxed_future(output: &ReturnType) -> bool {
    let text = output.to_token_stream().to_string();
    text.contains("Pin <") && text.contains("Box <") && text.contains("Future")
}

/// Types that an expression cannot name become `_`.
struct Unnamed;

impl VisitMut for Unnamed {
    fn visit_type_mut(&mut self, kind: &mut Type) {
        if matches!(kind, Type::ImplTrait(_)) {
            *kind = syn::parse_quote!(_);
        } else {
            syn::visit_mut::visit_type_mut(self, kind);
        }
    }
}

/// What the attribute says.
struct Arguments {
    client: Expr,
    name: LitStr,
    timeout_ms: Option<u64>,
    gid: Option<Expr>,
    wait: Option<Ident>,
}

impl Arguments {
    /// The expression that makes the transaction, not yet begun.
    fn begin(&self) -> TokenStream {
        let Arguments { client, name, timeout_ms, gid, wait } = self;
        let timeout =
            timeout_ms.map(|ms| quote! { .timeout(::core::time::Duration::from_millis(#ms)) });
        let gid = gid.as_ref().map(|gid| quote! { .gid(#gid) });
        let wait = wait.as_ref().map(|wait| quote! { .wait(::wholly::Wait::#wait) });
        quote_spanned! { client.span() =>
            ::wholly::rt::client(&(#client)).transaction(#name) #timeout #gid #wait
        }
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Err(input.error(EXPECTED));
        }
        let client: Expr = input.parse()?;
        if let Expr::Lit(literal) = &client {
            let message = format!("the client comes first; {EXPECTED}");
            return Err(syn::Error::new_spanned(literal, message));
        }
        if input.is_empty() {
            let message = format!("the name is missing; {EXPECTED}");
            return Err(syn::Error::new_spanned(client, message));
        }
        input.parse::<Token![,]>()?;
        let name: LitStr = input.parse().map_err(|error| {
            syn::Error::new(error.span(), "the second argument is the name, as \"place-order\"")
        })?;
        check_name(&name.value(), name.span())?;
        let mut arguments = Arguments { client, name, timeout_ms: None, gid: None, wait: None };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            arguments.option(input)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn option(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), OPTIONS))?;
        if !["timeout", "gid", "wait"].iter().any(|known| key == known) {
            let message = format!("`{key}` is no option; {OPTIONS}");
            return Err(syn::Error::new(key.span(), message));
        }
        input.parse::<Token![=]>()?;
        let twice = if key == "timeout" {
            let literal: LitStr = input.parse().map_err(|error| {
                syn::Error::new(error.span(), "a timeout is a text, as \"30s\"")
            })?;
            self.timeout_ms.replace(duration::parse_ms(&literal)?).is_some()
        } else if key == "gid" {
            self.gid.replace(input.parse()?).is_some()
        } else {
            self.wait.replace(parse_wait(input)?).is_some()
        };
        if twice {
            let message = format!("`{key}` stands twice");
            return Err(syn::Error::new(key.span(), message));
        }
        Ok(())
    }
}

fn parse_wait(input: ParseStream<'_>) -> syn::Result<Ident> {
    let expected = "wait is a plain word: wait = decided or wait = ended";
    let wait: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), expected))?;
    match wait.to_string().as_str() {
        "decided" => Ok(Ident::new("Decided", wait.span())),
        "ended" => Ok(Ident::new("Ended", wait.span())),
        _ => Err(syn::Error::new(wait.span(), expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::check_error;

    const GOOD: &str = "async fn f(app: App) -> Result<(), E> { Ok(()) }";

    fn expand_text(arguments: &str) -> String {
        let function = GOOD.parse().unwrap();
        expand(arguments.parse().unwrap(), function).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_expression_that_was_said() {
        let seen = expand_text("app.wholly, \"place-order\"");
        let begin = ":: wholly :: rt :: client (& (app . wholly)) . transaction (\"place-order\")";
        assert!(seen.contains(begin), "{seen}");
        assert!(!seen.contains("timeout"), "{seen}");
    }

    #[test]
    fn options_are_calls_on_the_transaction() {
        let seen = expand_text(
            "app.wholly, \"place-order\", timeout = \"30s\", gid = order.gid(), wait = ended,",
        );
        assert!(seen.contains("from_millis (30000u64)"), "{seen}");
        assert!(seen.contains(". gid (order . gid ())"), "{seen}");
        assert!(seen.contains("Wait :: Ended"), "{seen}");
    }

    #[test]
    fn an_unnameable_type_is_left_to_inference() {
        let function = "async fn f(w: W) -> Result<impl IntoResponse, E> { Ok(()) }";
        let expanded = expand(quote!(w, "f"), function.parse().unwrap()).unwrap().to_string();
        assert!(
            expanded.contains("return :: wholly :: rt :: of_type :: < Result < _ , E > > () ;"),
            "{expanded}"
        );
        assert!(expanded.contains("-> Result < impl IntoResponse , E >"), "{expanded}");
    }

    #[test]
    fn each_mistake_in_the_arguments_is_said_at_its_token() {
        let check = |arguments: &str, at: &str, message: &str| {
            let expand = |tokens| expand(tokens, GOOD.parse().unwrap());
            check_error(expand, arguments, at, message);
        };
        check("", "", "say the client and the name");
        check("\"place-order\"", "\"place-order\"", "the client comes first");
        check("app.wholly", "app", "the name is missing");
        check("app.wholly, place_order", "place_order", "the second argument is the name");
        check("app.wholly, \"place order\"", "\"place order\"", "a name is 1 to 128");
        check("app, \"f\", timeot = \"30s\"", "timeot", "`timeot` is no option");
        check("app, \"f\", timeout = \"30\"", "\"30\"", "not a duration");
        check("app, \"f\", timeout = 30", "30", "a timeout is a text");
        check("app, \"f\", wait = later", "later", "wait is a plain word");
        check("app, \"f\", wait = ended, wait = decided", "wait = decided", "`wait` stands twice");
        check("app, \"f\", \"30s\"", "\"30s\"", "the options are");
    }

    #[test]
    fn each_mistake_in_the_function_is_said_at_its_token() {
        let check = |function: &str, at: &str, message: &str| {
            check_error(|tokens| expand(quote!(app, "f"), tokens), function, at, message);
        };
        check("fn f() -> Result<(), E> { Ok(()) }", "fn", "a global transaction is an async fn");
        check("async fn f() { }", "f()", "returns Result<T, E>");
        check(
            "fn f<'a>(&'a self) -> Pin<Box<dyn Future<Output = R> + Send + 'a>> { body }",
            "f<'a>",
            "#[async_trait] has already rewritten",
        );
    }
}
