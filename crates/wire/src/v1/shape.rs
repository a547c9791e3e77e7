//! The shape of each request: which fields it has, so that a wrong one is answered by name.

use crate::edge::EdgeRejection;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;

/// A field of a request.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it must be there.
    pub need: Need,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer from zero.
    Number,
    /// True or false.
    Flag,
    /// Any JSON.
    Any,
    /// A list of strings.
    Texts,
    /// A list of objects.
    Objects(&'static [Field]),
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It may; null says the same as leaving it out, except for lists and flags.
    Optional,
}

/// A request whose fields are known.
pub trait Shaped {
    /// Its fields.
    const FIELDS: &'static [Field];
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Required }
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Optional }
}

/// Reads a request; nothing at all is read as an object without fields.
pub fn parse<'a, T: Deserialize<'a> + Shaped>(bytes: &'a [u8]) -> Result<T, EdgeRejection> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    let read = serde_json::from_slice(bytes).map(|Object(value)| value);
    read.map_err(|error| explain(bytes, T::FIELDS, &error))
}

/// Reads a list of objects.
pub(crate) fn objects<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Vec<Object<T>> = Vec::deserialize(from)?;
    Ok(list.into_iter().map(|Object(value)| value).collect())
}

/// An object as such: a struct alone would be read from a list too, one item for each field.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Finds what is wrong with a body that could not be read. Off the ordinary path, so it may take
/// its time.
fn explain(bytes: &[u8], fields: &'static [Field], error: &serde_json::Error) -> EdgeRejection {
    match serde_json::from_slice::<Value>(bytes) {
        Err(error) => EdgeRejection::MalformedJson { why: error.to_string() },
        Ok(value) => match check_object("", &value, fields) {
            Err(rejection) => rejection,
            Ok(()) => EdgeRejection::MalformedJson { why: error.to_string() },
        },
    }
}

fn check_object(path: &str, value: &Value, fields: &'static [Field]) -> Result<(), EdgeRejection> {
    let Value::Object(object) = value else {
        let field = if path.is_empty() { "the body" } else { path };
        return Err(EdgeRejection::invalid(field, "must be a JSON object"));
    };
    let names = || fields.iter().map(|field| field.name);
    for name in object.keys() {
        if names().all(|known| known != name) {
            return Err(EdgeRejection::unknown_field(join(path, name), name, names()));
        }
    }
    for field in fields {
        match (object.get(field.name), field.need) {
            (None, Need::Required) => {
                return Err(EdgeRejection::FieldMissing { field: join(path, field.name) });
            }
            (None, Need::Optional) => {}
            (Some(Value::Null), Need::Optional) if takes_null(field.kind) => {}
            (Some(value), _) => check_value(&join(path, field.name), value, field.kind)?,
        }
    }
    Ok(())
}

fn takes_null(kind: Kind) -> bool {
    match kind {
        Kind::Text | Kind::Number | Kind::Any => true,
        Kind::Flag | Kind::Texts | Kind::Objects(_) => false,
    }
}

fn check_value(path: &str, value: &Value, kind: Kind) -> Result<(), EdgeRejection> {
    let is_right = match kind {
        Kind::Text => value.is_string(),
        Kind::Number => value.is_u64(),
        Kind::Flag => value.is_boolean(),
        Kind::Any => true,
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        Kind::Objects(fields) => match value.as_array() {
            None => false,
            Some(list) => {
                for (at, item) in list.iter().enumerate() {
                    check_object(&format!("{path}[{at}]"), item, fields)?;
                }
                true
            }
        },
    };
    match is_right {
        true => Ok(()),
        false => Err(EdgeRejection::invalid(path, format_args!("must be {}", expected(kind)))),
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::Number => "an integer from 0",
        Kind::Flag => "true or false",
        Kind::Any => "JSON",
        Kind::Texts => "a list of strings",
        Kind::Objects(_) => "a list of objects",
    }
}

fn join(path: &str, name: &str) -> String {
    let cut: String = name.chars().take(64).collect();
    match path.is_empty() {
        true => cut,
        false => format!("{path}.{cut}"),
    }
}
