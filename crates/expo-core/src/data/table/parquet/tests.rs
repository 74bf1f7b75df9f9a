use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

/// The files with the rows of `rows.json`: every way in which they are written.
const WRITTEN: [&str; 6] = ["snappy", "gzip-v2", "zstd-pages", "snappy-v2-pages", "delta", "plain"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tables");
    std::fs::read(folder.join(name)).unwrap()
}

fn json(name: &str) -> Vec<Map<String, Value>> {
    serde_json::from_slice(&fixture(name)).unwrap()
}

fn read(bytes: Vec<u8>) -> Result<Vec<Map<String, Value>>, String> {
    Parquet::new(bytes)?.rows().collect()
}

#[test]
fn rows_are_those_that_were_written_however_they_were() {
    let expected = json("rows.json");
    for name in WRITTEN {
        let rows = read(fixture(&format!("{name}.parquet"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(rows, expected, "{name}");
    }
}

#[test]
fn every_type_that_has_a_json_form() {
    let file = Parquet::new(fixture("types.parquet")).unwrap();
    let rows: Vec<Map<String, Value>> = file.rows().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows, json("types.json"));
    let unread: Vec<(&str, &str)> = file.unread().iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(unread, [("day", "DATE"), ("time", "TIMESTAMP"), ("image", "BYTE_ARRAY"), ("half", "FLOAT16")]);
}

#[test]
fn files_that_are_not_read_say_why() {
    let error = |bytes: Vec<u8>| read(bytes).unwrap_err();
    let snappy = fixture("snappy.parquet");
    assert!(error(fixture("brotli.parquet")).contains("column `question` is compressed with BROTLI; snappy"));
    assert_eq!(error(fixture("binary.parquet")), "has no column of text or numbers (columns: `image` BYTE_ARRAY)");
    assert!(error(Vec::new()).contains("not a Parquet file"));
    assert!(error(b"question,answer\n1,2\n".to_vec()).contains("not a Parquet file"));
    assert!(error(snappy[..snappy.len() / 2].to_vec()).contains("is cut off"));
    let encrypted = [&snappy[..snappy.len() - 4], b"PARE"].concat();
    assert!(error(encrypted).contains("encrypted"));
    let mut long = snappy;
    let tail = long.len() - 8;
    long[tail..tail + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error(long).contains("says that its metadata has 4294967295 bytes"));
}

#[test]
fn what_a_small_file_makes_is_bounded() {
    let file = Parquet::new(fixture("many.parquet")).unwrap();
    let mut given = 0;
    let error = file.rows().inspect(|row| given += usize::from(row.is_ok())).find_map(Result::err).unwrap();
    assert!(error.contains("taken for damage"), "{error}");
    // Rows of 40 bytes of text and as much around them.
    assert!(given > 500_000 && given < 1_000_000, "{given} rows");
}

#[test]
fn sizes_that_are_only_claimed_take_no_memory() {
    // A page header, as Thrift writes it: data page, so many bytes of so many, no values.
    let page = |claimed: u64, codec: Codec, data: &[u8]| {
        let mut bytes = vec![0x15, 0x00, 0x15];
        let number = |mut value: u64, bytes: &mut Vec<u8>| {
            value <<= 1;
            while value >= 128 {
                bytes.push(value as u8 | 128);
                value >>= 7;
            }
            bytes.push(value as u8);
        };
        number(claimed, &mut bytes);
        bytes.push(0x15);
        number(data.len() as u64, &mut bytes);
        bytes.extend([0x2c, 0x15, 0x00, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x00, 0x00]);
        bytes.extend(data);
        pages::Pages::new(&bytes, codec).next().map(|page| page.map(|page| page.bytes))
    };
    assert_eq!(page(2, Codec::None, b"ab").unwrap().unwrap(), b"ab");
    assert!(page(3, Codec::None, b"ab").unwrap_err().contains("another size"));
    let huge = i32::MAX as u64;
    for codec in [Codec::None, Codec::Snappy, Codec::Gzip, Codec::Zstd] {
        assert!(page(huge, codec, b"ab").unwrap_err().contains("2147483647 bytes were compressed to 2"), "{codec:?}");
        // Below the bound for all, but far above what is there.
        assert!(page(60 << 20, codec, b"abcdefgh").is_err(), "{codec:?}");
    }
    // snappy's own length: 2^31 - 1.
    assert!(page(huge, Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x07, 0x00, b'a']).is_err());
}

/// A schema element in Thrift: physical type, repetition, name, number of children, converted type.
fn element(kind: Option<u8>, repetition: Option<u8>, name: &str, children: Option<u8>, converted: Option<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    let mut field = |number: u8, kind: u8, bytes: &mut Vec<u8>| {
        bytes.push((number - last) << 4 | kind);
        last = number;
    };
    for (number, value) in [(1, kind), (3, repetition), (4, None), (5, children), (6, converted)] {
        if number == 4 {
            field(4, 8, &mut bytes);
            bytes.push(name.len() as u8);
            bytes.extend(name.as_bytes());
        } else if let Some(value) = value {
            field(number, 5, &mut bytes);
            bytes.push(value * 2);
        }
    }
    bytes.push(0);
    bytes
}

fn schema(elements: &[Vec<u8>]) -> Result<Schema, String> {
    let elements: Vec<Struct<'_>> = elements.iter().map(|bytes| read_struct(bytes).unwrap().0).collect();
    Schema::new(elements.iter())
}

#[test]
fn lists_as_older_writers_nest_them() {
    let text = |repetition, name| element(Some(6), Some(repetition), name, None, Some(0));
    let group = |repetition, name, children, converted| element(None, Some(repetition), name, Some(children), converted);
    let root = |children| element(None, None, "schema", Some(children), None);
    let leaf = |def, rep| Node::List { def, rep, element: Box::new(Node::Leaf(0)) };
    let optional = |def, inner| Node::Optional { def, inner: Box::new(inner) };
    let only = |elements: &[Vec<u8>]| schema(elements).unwrap().root.remove(0).1;
    // Two levels; a field repeated without a group; a group called `array`, of one field.
    assert_eq!(only(&[root(1), group(1, "a", 1, Some(3)), text(2, "x")]), optional(1, leaf(2, 1)));
    assert_eq!(only(&[root(1), text(2, "a")]), leaf(1, 1));
    let object = Node::Object(vec![("x".into(), Node::Leaf(0))]);
    let expected = optional(1, Node::List { def: 2, rep: 1, element: Box::new(object) });
    assert_eq!(only(&[root(1), group(1, "a", 1, Some(3)), group(2, "array", 1, None), text(0, "x")]), expected);
    let errors = [
        (vec![root(2), text(0, "a")], "ends too early"),
        (vec![root(2), text(0, "a"), text(0, "a")], "two columns named `a`"),
        (vec![root(1), group(1, "a", 1, Some(3)), text(0, "x")], "isn't built as one"),
        ([vec![root(1)], vec![group(0, "a", 1, None); 40]].concat(), "nested too deeply"),
    ];
    for (elements, expected) in errors {
        assert!(schema(&elements).unwrap_err().contains(expected), "{expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Damage anywhere: an error or other rows, never a panic, never rows without end.
    #[test]
    fn damaged_files_never_panic(file in 0..WRITTEN.len(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = fixture(&format!("{}.parquet", WRITTEN[file]));
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(file) = Parquet::new(bytes) {
            prop_assert!(file.rows().count() < 3_000_000);
        }
    }
    #[test]
    fn cut_off_files_are_errors(file in 0..WRITTEN.len(), place in any::<prop::sample::Index>()) {
        let bytes = fixture(&format!("{}.parquet", WRITTEN[file]));
        let kept = place.index(bytes.len());
        prop_assert!(read(bytes[..kept].to_vec()).is_err());
    }
}
