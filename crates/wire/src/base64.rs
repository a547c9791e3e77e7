//! Base64 (RFC 4648): strict, so that the same bytes have one spelling.

/// The alphabet for URLs and file names.
pub const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The alphabet of headers.
pub const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes without padding.
pub fn encode(alphabet: &[u8; 64], bytes: &[u8], text: &mut String) {
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(alphabet[index as usize]));
        }
    }
}

/// Reads bytes without padding; bits left over must be zero.
pub fn decode(alphabet: &[u8; 64], text: &str) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        bits = (bits << 6) | u32::from(index(alphabet, byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).expect("eight bits"));
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// The place of a letter: both alphabets differ only in their last two.
fn index(alphabet: &[u8; 64], byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        _ if byte == alphabet[62] => Some(62),
        _ if byte == alphabet[63] => Some(63),
        _other => None,
    }
}

/// Writes bytes as headers spell them, with padding.
pub fn padded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    encode(STANDARD, bytes, &mut text);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Reads bytes as headers spell them; the padding must be there.
pub fn from_padded(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let bare = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text);
    decode(STANDARD, bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plain: &str, spelled: &str) {
        assert_eq!(padded(plain.as_bytes()), spelled);
        assert_eq!(from_padded(spelled).as_deref(), Some(plain.as_bytes()));
    }

    #[test]
    fn bytes_are_spelled_as_the_standard_says() {
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob", "Zm9vYg==");
        check("fooba", "Zm9vYmE=");
        check("foobar", "Zm9vYmFy");
        for wrong in ["Z", "Zg", "Zg=", "Zh==", "Zg===", "Zm9=", "Zm9v=", "Z-9v", "Zm 9", "===="] {
            assert_eq!(from_padded(wrong), None, "{wrong}");
        }
        assert_eq!(padded(&[0xff, 0xef]), "/+8=");
    }

    #[test]
    fn bits_left_over_are_refused() {
        let mut text = String::new();
        encode(URL, &[0xff; 32], &mut text);
        assert_eq!(text.len(), 43);
        assert_eq!(decode(URL, &text), Some([0xff; 32].to_vec()));
        assert_eq!(text.pop(), Some('8'));
        text.push('9');
        assert_eq!(decode(URL, &text), None);
    }
}
