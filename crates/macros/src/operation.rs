//! `#[derive(Operation)]`: name, mode and reply of a struct, checked at the token that is wrong.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Ident, LitStr, Token, Type};

const EXPECTED: &str =
    "say what it is: #[operation(name = \"stock.lock\", mode = tcc, reply = Locked)]";
const NAME_BYTES_MAX: usize = 128;

/// Expands the derive.
pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(input)?;
    if let Some(parameter) = input.generics.params.first() {
        let message = "an operation is a contract by name, so its struct has no parameters";
        return Err(syn::Error::new_spanned(parameter, message));
    }
    let contract = Contract::of(&input)?;
    let Contract { name, mode, reply } = &contract;
    let ident = &input.ident;
    Ok(quote! {
        impl ::wholly::Operation for #ident {
            type Reply = #reply;
            const NAME: &'static str = #name;
            const MODE: ::wholly::Mode = ::wholly::Mode::#mode;
        }
    })
}

/// What `#[operation(..)]` says.
struct Contract {
    name: LitStr,
    mode: Ident,
    reply: Type,
}

impl Contract {
    fn of(input: &DeriveInput) -> syn::Result<Self> {
        let mut found = input.attrs.iter().filter(|attr| attr.path().is_ident("operation"));
        let Some(attribute) = found.next() else {
            return Err(syn::Error::new(input.ident.span(), EXPECTED));
        };
        if let Some(second) = found.next() {
            return Err(syn::Error::new_spanned(
                second.path(),
                "one operation has one name: write \
                all in one #[operation(..)]",
            ));
        }
        let items = attribute.parse_args_with(Punctuated::<Item, Token![,]>::parse_terminated)?;
        let (mut name, mut mode, mut reply) = (None, None, None);
        for item in items {
            let twice = match item.value {
                Value::Name(value) => name.replace(value).is_some(),
                Value::Mode(value) => mode.replace(value).is_some(),
                Value::Reply(value) => reply.replace(*value).is_some(),
            };
            if twice {
                let message = format!("`{}` stands twice", item.key);
                return Err(syn::Error::new(item.key.span(), message));
            }
        }
        let missing = |what: &str| {
            let message = format!("`{what}` is missing; {EXPECTED}");
            syn::Error::new_spanned(attribute.path(), message)
        };
        Ok(Contract {
            name: name.ok_or_else(|| missing("name"))?,
            mode: mode.ok_or_else(|| missing("mode"))?,
            reply: reply.unwrap_or_else(|| syn::parse_quote!(())),
        })
    }
}

/// One `key = value`.
struct Item {
    key: Ident,
    value: Value,
}

enum Value {
    Name(LitStr),
    Mode(Ident),
    Reply(Box<Type>),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key: Ident = input.parse()?;
        let known = ["name", "mode", "reply"];
        if !known.iter().any(|known| key == known) {
            let message = format!("`{key}` is no part of an operation; {EXPECTED}");
            return Err(syn::Error::new(key.span(), message));
        }
        input.parse::<Token![=]>()?;
        let value = if key == "name" {
            Value::Name(parse_name(input)?)
        } else if key == "mode" {
            Value::Mode(parse_mode(input)?)
        } else {
            Value::Reply(Box::new(input.parse()?))
        };
        Ok(Item { key, value })
    }
}

fn parse_name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let name: LitStr = input
        .parse()
        .map_err(|error| syn::Error::new(error.span(), "a name is a text, as \"stock.lock\""))?;
    check_name(&name.value(), name.span())?;
    Ok(name)
}

/// The form of every name in the protocol; the coordinator would refuse another at run time.
pub(crate) fn check_name(name: &str, span: Span) -> syn::Result<()> {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if begins && name.bytes().all(inner) && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let message =
        "a name is 1 to 128 letters, digits and . _ : -, beginning with a letter or digit";
    Err(syn::Error::new(span, message))
}

fn parse_mode(input: ParseStream<'_>) -> syn::Result<Ident> {
    let mode: Ident = input.parse().map_err(|error| {
        syn::Error::new(error.span(), "the mode is a plain word: mode = tcc or mode = saga")
    })?;
    let variant = match mode.to_string().as_str() {
        "tcc" => "Tcc",
        "saga" => "Saga",
        _ => {
            let message = format!("`{mode}` is no mode of an operation; it is tcc or saga");
            return Err(syn::Error::new(mode.span(), message));
        }
    };
    Ok(Ident::new(variant, mode.span()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::check_error;

    #[test]
    fn an_operation_becomes_its_contract() {
        let expanded = expand(quote! {
            #[operation(name = "stock.lock", mode = tcc, reply = Locked)]
            pub struct Lock { pub sku: String }
        })
        .unwrap();
        let expected = quote! {
            impl ::wholly::Operation for Lock {
                type Reply = Locked;
                const NAME: &'static str = "stock.lock";
                const MODE: ::wholly::Mode = ::wholly::Mode::Tcc;
            }
        };
        assert_eq!(expanded.to_string(), expected.to_string());
    }

    #[test]
    fn the_reply_is_nothing_where_it_is_left_out() {
        let expanded = expand(quote! { #[operation(name = "a", mode = saga)] struct A; }).unwrap();
        assert!(expanded.to_string().contains("type Reply = () ;"), "{expanded}");
        assert!(expanded.to_string().contains("Mode :: Saga"), "{expanded}");
    }

    #[test]
    fn each_mistake_is_said_at_its_token() {
        let check = |text: &str, at: &str, message: &str| check_error(expand, text, at, message);
        check("struct Lock;", "Lock", "say what it is: #[operation(name");
        check("#[operation] struct Lock;", "operation]", "expected attribute arguments");
        check("#[operation(mode = tcc)] struct L;", "operation", "`name` is missing");
        check("#[operation(name = \"a\")] struct L;", "operation", "`mode` is missing");
        check(
            "#[operation(name = \"a b\", mode = tcc)] struct L;",
            "\"a b\"",
            "a name is 1 to 128",
        );
        check("#[operation(name = \"\", mode = tcc)] struct L;", "\"\"", "a name is 1 to 128");
        check("#[operation(name = a, mode = tcc)] struct L;", "a,", "a name is a text");
        check(
            "#[operation(name = \"a\", mode = try)] struct L;",
            "try",
            "the mode is a plain word",
        );
        check("#[operation(name = \"a\", mode = xa)] struct L;", "xa", "`xa` is no mode");
        check("#[operation(name = \"a\", mode = \"tcc\")] struct L;", "\"tcc\"", "a plain word");
        check("#[operation(nam = \"a\")] struct L;", "nam", "`nam` is no part of an operation");
        check(
            "#[operation(name = \"a\", mode = tcc, name = \"b\")] struct L;",
            "name = \"b\"",
            "`name` stands twice",
        );
        check(
            "#[operation(name = \"a\", mode = tcc)] #[operation(reply = R)] struct L;",
            "operation(reply",
            "one operation has one name",
        );
        check(
            "#[operation(name = \"a\", mode = tcc)] struct L<T>(T);",
            "T>",
            "an operation is a contract by name",
        );
    }
}
