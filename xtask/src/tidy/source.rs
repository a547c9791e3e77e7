//! A Rust file as tidy reads it: code, comments and strings apart; tests apart from the rest.

use std::ops::Range;

/// A Rust file. `code`, `comments` and `strings` are the text with everything else blanked, byte
/// for byte, so that an offset means the same in all of them.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
    pub(crate) comments: String,
    pub(crate) strings: String,
    tests: Vec<Range<usize>>,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// First and last line, counted from one.
    pub(crate) first: usize,
    pub(crate) last: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Code,
    Comment,
    Text,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let classes = classify(text.as_bytes());
        let only = |class: Class| {
            let bytes = text.bytes().zip(&classes);
            let kept = bytes.map(|(b, c)| if *c == class || b == b'\n' { b } else { b' ' });
            String::from_utf8(kept.collect()).expect("a class changes only between characters")
        };
        let code = only(Class::Code);
        let tests = test_ranges(path, &code);
        Source {
            path: path.into(),
            text: text.into(),
            comments: only(Class::Comment),
            strings: only(Class::Text),
            tests,
            code,
        }
    }

    /// The first sentence of the file, if it begins with one about itself.
    pub(crate) fn caption(&self) -> Option<String> {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//! "));
        let paragraph = lines.collect::<Vec<_>>().join(" ");
        let end = paragraph.find(". ").map_or(paragraph.len(), |at| at + 1);
        let sentence = &paragraph[..end];
        let is_sentence = sentence.ends_with('.') && !sentence.starts_with('(');
        is_sentence.then(|| sentence.to_owned())
    }

    /// The line of an offset, counted from one.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        self.text[..offset].bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// Whether an offset lies in a test module or a test file.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// How many lines are not part of tests.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let starts = self.text.split_inclusive('\n').scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some(start)
        });
        starts.filter(|start| !self.is_test(*start)).count()
    }

    /// All functions with a body, nested ones included.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let rest = self.code[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|c| is_word_char(*c)).collect();
            let Some(body) = body_after(&self.code, at) else { continue };
            if name.is_empty() {
                continue;
            }
            let (first, last) = (self.line_at(at), self.line_at(body.end - 1));
            found.push(Function { name, first, last });
        }
        found
    }
}

pub(crate) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a word stands in a text, not as a part of a longer one.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let open = |c: Option<char>| c.is_none_or(|c| !is_word_char(c));
        let starts = !word.starts_with(is_word_char) || open(before);
        let ends = !word.ends_with(is_word_char) || open(after);
        starts && ends
    })
}

/// The braces that belong to an item: the first ones that follow it, unless a `;` comes first.
fn body_after(code: &str, item: usize) -> Option<Range<usize>> {
    let mut nesting = 0_i32;
    for (at, b) in code.bytes().enumerate().skip(item) {
        match b {
            b'(' | b'[' => nesting += 1,
            b')' | b']' => nesting -= 1,
            b';' if nesting == 0 => return None,
            b'{' if nesting == 0 => return Some(at..closing(code, at)),
            _ => (),
        }
        if nesting < 0 {
            return None;
        }
    }
    None
}

/// Just behind the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn test_ranges(path: &str, code: &str) -> Vec<Range<usize>> {
    let is_test_file =
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    if is_test_file {
        return vec![Range { start: 0, end: code.len() + 1 }];
    }
    let marked = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    marked.filter_map(|at| Some(at..body_after(code, at + "#[cfg(test)]".len())?.end)).collect()
}

fn classify(text: &[u8]) -> Vec<Class> {
    let mut classes = Vec::with_capacity(text.len());
    while classes.len() < text.len() {
        let at = classes.len();
        let (class, end) = token(text, at);
        classes.resize(end.clamp(at + 1, text.len()), class);
    }
    classes
}

/// The class of what begins at an offset, and where that ends.
fn token(text: &[u8], at: usize) -> (Class, usize) {
    let rest = &text[at..];
    let in_word = at > 0 && (text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_');
    match rest[0] {
        b'/' if rest.starts_with(b"//") => (Class::Comment, at + until(rest, b"\n")),
        b'/' if rest.starts_with(b"/*") => (Class::Comment, at + block_comment(rest)),
        b'"' => (Class::Text, at + quoted(rest, b'"')),
        b'\'' => match char_literal(rest) {
            Some(length) => (Class::Text, at + length),
            None => (Class::Code, at + 1),
        },
        b'r' | b'b' | b'c' if !in_word => match prefixed(rest) {
            Some(length) => (Class::Text, at + length),
            None => (Class::Code, at + 1),
        },
        _ => (Class::Code, at + 1),
    }
}

fn until(rest: &[u8], end: &[u8]) -> usize {
    rest.windows(end.len()).position(|part| part == end).unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// The length of a literal from its opening to its closing quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// A character literal, told from a lifetime by its second quote.
fn char_literal(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(2 + quoted(&rest[2..], b'\''));
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let text = match &text {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&rest[1..1 + e.valid_up_to()]).unwrap_or(""),
    };
    let length = text.chars().next()?.len_utf8();
    (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

/// A raw, byte or C string, from its prefix on.
fn prefixed(rest: &[u8]) -> Option<usize> {
    let letters = rest.iter().take_while(|b| b"rbc".contains(b)).count();
    let hashes = rest[letters..].iter().take_while(|b| **b == b'#').count();
    let is_raw = rest[..letters].contains(&b'r');
    match rest.get(letters + hashes) {
        Some(b'"') if is_raw && letters <= 2 => {
            let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            let open = letters + hashes + 1;
            Some(open + until(&rest[open..], &end) + end.len())
        }
        Some(b'"') if letters == 1 && hashes == 0 => Some(1 + quoted(&rest[1..], b'"')),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_code_from_comments_and_strings() {
        let text = concat!(
            "let a = 'x'; // one \"two\"\n",
            "let b: &'static str = \"three // \\\" four\"; /* five /* six */ seven */ eight();\n",
            "let c = r#\"nine \" ten\"#; let d = br\"eleven\\\"; let e = '\\''; twelve();\n",
            "let 'ü' = r#type; let f = 'ü'; thirteen();\n",
        );
        let source = Source::new("a.rs", text);
        for word in ["eight", "twelve", "thirteen", "static", "type"] {
            assert!(source.code.contains(word), "{word} is code");
        }
        for word in ["one", "two", "five", "six", "seven"] {
            assert!(source.comments.contains(word), "{word} is a comment");
            assert!(!source.code.contains(word), "{word} is no code");
        }
        for word in ["three // \\\" four", "nine \" ten", "eleven"] {
            assert!(source.strings.contains(word), "{word} is a string");
        }
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn finds_functions_with_their_bodies() {
        let text = "fn a(x: [u8; 3]) -> u8 {\n    1\n}\ntrait T { fn b(); }\ntype F = fn(u8);\n";
        let found: Vec<_> = Source::new("a.rs", text).functions();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].first, found[0].last), ("a", 1, 3));
    }

    #[test]
    fn counts_lines_without_tests() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(Source::new("crates/x/src/a.rs", text).lines_without_tests(), 2);
        assert_eq!(Source::new("crates/x/tests/a.rs", text).lines_without_tests(), 0);
    }
}
