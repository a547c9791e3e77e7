//! Durations as people write them: `500ms`, `30s`, `5m`, `1h`.

use syn::LitStr;

/// Parses a literal into milliseconds, or says at the literal what is wrong.
pub(crate) fn parse_ms(literal: &LitStr) -> syn::Result<u64> {
    let text = literal.value();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong(literal)),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(0) => Err(syn::Error::new(literal.span(), "a timeout is longer than zero")),
        Some(ms) => Ok(ms),
        None => Err(wrong(literal)),
    }
}

fn wrong(literal: &LitStr) -> syn::Error {
    let message = "not a duration; write a whole number and ms, s, m or h, as \"30s\"";
    syn::Error::new(literal.span(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, &str>) {
        let literal = LitStr::new(text, proc_macro2::Span::call_site());
        match (parse_ms(&literal), expected) {
            (Ok(ms), Ok(expected)) => assert_eq!(ms, expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (seen, expected) => panic!("{text}: {seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        check("500ms", Ok(500));
        check("30s", Ok(30_000));
        check("5m", Ok(300_000));
        check("2h", Ok(7_200_000));
        check("0s", Err("longer than zero"));
        check("30", Err("not a duration"));
        check("s", Err("not a duration"));
        check("1.5s", Err("not a duration"));
        check("30 s", Err("not a duration"));
        check("99999999999999999999h", Err("not a duration"));
        check("9999999999999999999h", Err("not a duration"));
    }
}
