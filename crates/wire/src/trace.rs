//! A place in a distributed trace, as the headers `traceparent` and `tracestate` spell it (W3C
//! trace context).

use std::fmt;
use std::sync::Arc;

/// Longest `tracestate` that is passed on, in bytes; a longer one is left out whole.
pub const STATE_BYTES_MAX: usize = 512;

/// A place in a trace, with what the tools that watch it hand along.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Who asks, in which trace.
    pub parent: TraceParent,
    /// What goes along unread.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// Reads both headers, the second of which may stand several times. Without a place there is
    /// nothing that a state could belong to.
    pub fn parse<'a>(
        parent: Option<&str>,
        states: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let parent = TraceParent::parse(parent?)?;
        Some(TraceContext { parent, state: TraceState::parse(states) })
    }

    /// Another place in the same trace.
    pub fn child(&self, span: u64) -> Self {
        TraceContext { parent: self.parent.child(span), state: self.state.clone() }
    }
}

/// The header `tracestate`: never read, only bounded. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceState(Arc<str>);

impl TraceState {
    /// Joins the values of the header; none if that is nothing, too long, or no visible ASCII.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut joined = String::new();
        for value in values.into_iter().map(str::trim).filter(|value| !value.is_empty()) {
            if !joined.is_empty() {
                joined.push(',');
            }
            if joined.len() + value.len() > STATE_BYTES_MAX {
                return None;
            }
            joined.push_str(value);
        }
        let is_plain = joined.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        (!joined.is_empty() && is_plain).then(|| TraceState(joined.into()))
    }

    /// As the header says it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The flag that says that a trace is recorded.
pub const SAMPLED: u8 = 1;

/// Who asks, in which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// A place in a trace; none if an id is nought, which is no id.
    pub fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        (trace != 0 && span != 0).then_some(TraceParent { trace, span, flags })
    }

    /// Reads the header. What is not understood is as if it were not there: nobody is refused for
    /// how he watches himself. Of a later version, the fields that this one has are read.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut hex = |digits: usize| {
            let field = fields.next()?;
            let plain = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (field.len() == digits && plain).then_some(field)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let more = fields.next().is_some();
        if version == "ff" || (version == "00" && more) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok()?;
        let span = u64::from_str_radix(span, 16).ok()?;
        TraceParent::new(trace, span, u8::from_str_radix(flags, 16).ok()?)
    }

    /// Another place in the same trace.
    pub fn child(self, span: u64) -> Self {
        // The odd bit keeps an id from being nought.
        TraceParent { span: span | 1, ..self }
    }

    /// The trace.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span within the trace.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Whether and how it is recorded.
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// Whether whoever is there records it, and wishes that others do.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_place_in_a_trace_is_read_and_written_again() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let check = |text: &str, expected: Option<&str>| {
            let read = TraceParent::parse(text).map(|parent| parent.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        let good = format!("00-{trace}-b7ad6b7169203331-01");
        check(&good, Some(&good));
        check(&format!("cc-{trace}-b7ad6b7169203331-01-later"), Some(&good));
        check(&format!("cc-{trace}-b7ad6b7169203331-01"), Some(&good));
        for bad in [
            "",
            "00",
            &format!("00-{trace}-b7ad6b7169203331"),
            &format!("00-{trace}-b7ad6b7169203331-01-more"),
            &format!("ff-{trace}-b7ad6b7169203331-01"),
            &format!("00-{trace}-0000000000000000-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            &format!("00-{trace}0-b7ad6b7169203331-01"),
            &format!("00-+{}-b7ad6b7169203331-01", &trace[1..]),
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_state_goes_along_within_its_bound() {
        let place = TraceParent::new(7, 9, 1).unwrap().to_string();
        let check = |values: &[&str], expected: Option<&str>| {
            let read = TraceContext::parse(Some(&place), values.iter().copied()).unwrap();
            assert_eq!(read.state.as_ref().map(TraceState::as_str), expected, "{values:?}");
            assert_eq!(read.child(4).state, read.state);
        };
        let (most, over) = ("a".repeat(STATE_BYTES_MAX), "a".repeat(STATE_BYTES_MAX + 1));
        check(&["congo=t61,rojo=00f0"], Some("congo=t61,rojo=00f0"));
        check(&[" congo=t61 ", "", "rojo=00f0"], Some("congo=t61,rojo=00f0"));
        check(&[&most], Some(&most));
        check(&[&over], None);
        check(&[&most[1..], "b"], None);
        check(&["naïve=1"], None);
        check(&[], None);
        assert_eq!(TraceContext::parse(None, ["congo=t61"]), None);
        assert_eq!(TraceContext::parse(Some("odd"), ["congo=t61"]), None);
    }

    #[test]
    fn a_child_is_elsewhere_in_the_same_trace() {
        let parent = TraceParent::new(7, 9, 1).unwrap();
        let child = parent.child(4);
        assert_eq!((child.trace(), child.span(), child.flags()), (7, 5, 1));
        assert_eq!(TraceParent::new(0, 1, 0), None);
        assert_eq!(TraceParent::new(1, 0, 0), None);
    }
}
