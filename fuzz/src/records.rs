//! The reader of records: arbitrary bytes, and records that were written and then changed.

use arbitrary::Unstructured;
use wholly_core::ids::Gid;
use wholly_core::record::{Fact, Record};
use wholly_core::time::Timestamp;
use wholly_store::encoding::{decode_records, encode_record};
use wholly_store::suite::drafts::Chance;

/// Whatever decodes means the same when it is written again.
pub(crate) fn run(bytes: &[u8]) {
    let gid = Gid::new("order-1").expect("a gid");
    let mut input = Unstructured::new(bytes);
    let (count, bytes) = match input.arbitrary::<Option<u64>>() {
        Ok(Some(seed)) => changed(&gid, seed, &mut input),
        Ok(None) | Err(_) => {
            let count = input.arbitrary::<u64>().unwrap_or(1);
            (count, input.take_rest().to_vec())
        }
    };
    let Ok(records) = decode_records(&gid, count, &bytes) else { return };
    assert_eq!(records.len() as u64, count, "as many as were asked for");
    let again = encoded(&gid, &records);
    let read = decode_records(&gid, count, &again).expect("what was written is read");
    assert_eq!(read, records, "reading undoes writing");
}

fn encoded(gid: &Gid, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        encode_record(gid, record, &mut out);
    }
    out
}

/// Records that chance makes, with some of their bytes changed.
fn changed(gid: &Gid, seed: u64, input: &mut Unstructured<'_>) -> (u64, Vec<u8>) {
    let mut chance = Chance::new(seed);
    let begun = Fact::Begun(chance.begun(gid, Timestamp(seed)));
    let facts = std::iter::once(begun).chain((0..seed % 4).map(|_| chance.fact()));
    let records: Vec<Record> = facts.map(|fact| Record { at: Timestamp(seed), fact }).collect();
    let mut bytes = encoded(gid, &records);
    let read = decode_records(gid, records.len() as u64, &bytes);
    assert_eq!(read.as_ref(), Ok(&records), "reading undoes writing");
    while let Ok((place, value)) = input.arbitrary::<(u16, u8)>() {
        if input.is_empty() {
            break;
        }
        let place = usize::from(place) % bytes.len();
        bytes[place] = value;
    }
    (records.len() as u64, bytes)
}
