//! Headers: `wholly-answer`, `wholly-mark`, and those of a call.

use arbitrary::{Arbitrary, Unstructured};
use wholly_wire::headers::{
    AnswerHeader, BODY, BRANCH, CallHeaders, GID, MARK, OP, OPERATION, TIMEOUT_MS, parse_mark,
    print_mark,
};

/// Which header it is.
#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Answer(&'a str),
    Mark(&'a str),
    Call { texts: [&'a str; 6], body: Option<&'a str> },
}

/// What is read, and printed, is read the same.
pub(crate) fn run(bytes: &[u8]) {
    // A text that begins like a header is one, so that a seed is what it looks like.
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    answer(text);
    mark(text);
    match Input::arbitrary(&mut Unstructured::new(bytes)) {
        Ok(Input::Answer(text)) => answer(text),
        Ok(Input::Mark(text)) => mark(text),
        Ok(Input::Call { texts, body }) => call(&texts, body),
        Err(_) => {}
    }
}

fn answer(text: &str) {
    if let Ok(read) = AnswerHeader::parse(text) {
        let printed = read.to_string();
        assert_eq!(AnswerHeader::parse(&printed), Ok(read), "{printed}");
        assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{printed}");
    }
}

fn mark(text: &str) {
    if let Ok(read) = parse_mark(text) {
        let printed = print_mark(&read);
        assert_eq!(parse_mark(&printed), Ok(read), "{printed}");
    }
}

fn call(texts: &[&str; 6], body: Option<&str>) {
    const NAMES: [&str; 6] = [GID, BRANCH, OP, OPERATION, TIMEOUT_MS, MARK];
    let value = |name: &'static str| match name {
        BODY => body,
        other => NAMES.iter().position(|known| *known == other).map(|at| texts[at]),
    };
    if let Ok(read) = CallHeaders::parse(value) {
        let pairs = read.pairs();
        let value = |name: &'static str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(CallHeaders::parse(value).as_ref(), Ok(&read));
    }
}
