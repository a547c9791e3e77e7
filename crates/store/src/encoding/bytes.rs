//! Bytes: numbers, texts, lists and tags, written and read.

use super::DecodeError;
use wholly_core::ids::{Body, NameError, Text};
use wholly_core::time::Timestamp;

/// Longest encoding of a number.
pub(crate) const NUMBER_BYTES_MAX: usize = 10;

pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_bytes(text.as_bytes(), out);
}

/// What may be missing: zero, or one and the thing.
pub(crate) fn put_option<T>(value: Option<T>, out: &mut Vec<u8>, put: impl Fn(T, &mut Vec<u8>)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(value, out);
        }
    }
}

pub(crate) fn put_list<T>(list: &[T], out: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    put_number(list.len() as u64, out);
    for item in list {
        put(item, out);
    }
}

/// Reads from the front of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Says that nothing may be left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Left { left }),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for place in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if place == NUMBER_BYTES_MAX - 1 && bits > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Number { what: "64 bits" })
    }

    pub(crate) fn number_as<T: TryFrom<u64>>(
        &mut self,
        what: &'static str,
    ) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError::Number { what })
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp(self.number()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.number()?;
        let left = self.rest.len();
        match usize::try_from(length) {
            Ok(fits) if fits <= left => self.take(fits),
            Ok(_) | Err(_) => Err(DecodeError::Length { length, left }),
        }
    }

    pub(crate) fn body(&mut self) -> Result<Body, DecodeError> {
        Ok(Body::new(self.bytes()?))
    }

    pub(crate) fn text(&mut self) -> Result<Text, DecodeError> {
        self.name(Text::new)
    }

    /// A text that must be a name.
    pub(crate) fn name<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, NameError>,
    ) -> Result<T, DecodeError> {
        let text = str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8)?;
        parse(text).map_err(DecodeError::Name)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(read(self)?)),
            tag => Err(DecodeError::Tag { what: "option", tag }),
        }
    }

    /// A list. It grows as items are read, so a length that lies costs nothing.
    pub(crate) fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.number()?;
        let left = self.rest.len();
        if usize::try_from(length).map_or(true, |length| length > left) {
            return Err(DecodeError::Length { length, left });
        }
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(read(self)?);
        }
        Ok(list)
    }
}
