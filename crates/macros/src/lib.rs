//! Attributes and derives of the SDK: a thin shell.
