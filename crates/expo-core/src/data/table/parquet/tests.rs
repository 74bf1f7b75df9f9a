use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

/// The files with the rows of `rows.json`: every way in which they are written.
const WRITTEN: [&str; 9] = ["snappy", "gzip-v2", "zstd-pages", "snappy-v2-pages", "delta", "plain", "brotli", "lz4", "empty-group"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tables");
    std::fs::read(folder.join(name)).unwrap()
}

fn json(name: &str) -> Vec<Map<String, Value>> {
    serde_json::from_slice(&fixture(name)).unwrap()
}

fn read(bytes: Vec<u8>) -> Result<Vec<Map<String, Value>>, String> {
    Parquet::new(bytes)?.rows().map(|row| Ok(row?.0)).collect()
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
fn every_type_is_shown_as_python_shows_it() {
    let file = Parquet::new(fixture("types.parquet")).unwrap();
    let (rows, unheld): (Vec<Map<String, Value>>, Vec<Unheld>) = file.rows().map(Result::unwrap).unzip();
    assert_eq!(rows, json("types.json"));
    let unheld: Vec<(&str, &str)> =
        unheld.iter().flat_map(|unheld| &unheld.null).map(|(path, found)| (path.as_str(), found.as_str())).collect();
    let binary = |path| (path, "is 1 bytes of binary data, not UTF-8 text");
    let two = ("bytes", "is 2 bytes of binary data, not UTF-8 text");
    assert_eq!(unheld, [binary("deep.image"), two, ("double", "is -Infinity"), ("float", "is NaN")]);
    let int96 = read(fixture("int96.parquet")).unwrap();
    assert_eq!((&int96[0]["time"], &int96[1]["time"]), (&Value::from("2024-07-27 12:00:00.250000"), &Value::Null));
}

#[test]
fn a_file_may_have_no_rows() {
    assert_eq!(read(fixture("no-rows.parquet")).unwrap(), Vec::new());
}

#[test]
fn files_that_are_not_read_say_why() {
    let error = |bytes: Vec<u8>| read(bytes).unwrap_err();
    let snappy = fixture("snappy.parquet");
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
    let error = read(fixture("many.parquet")).unwrap_err();
    assert!(error.contains("column `question` says that it has 1048576 values, which would take more memory"), "{error}");
    // Few values, but large ones, again and again: the rows are counted.
    let mut rows = Parquet::new(fixture("snappy.parquet")).unwrap().rows().count();
    let file = Parquet::new(fixture("snappy.parquet")).unwrap();
    let mut short = file.rows();
    short.budget = 2000;
    rows -= short.by_ref().filter(|row| row.is_ok()).count();
    assert!(rows > 0 && short.next().is_none());
}

/// The only column of a schema.
fn column(text: &str) -> std::sync::Arc<parquet::schema::types::ColumnDescriptor> {
    let schema = parquet::schema::parser::parse_message_type(text).unwrap();
    parquet::schema::types::SchemaDescriptor::new(std::sync::Arc::new(schema)).column(0)
}

#[test]
fn sizes_that_are_only_claimed_take_no_memory() {
    use parquet::basic::Compression;
    let text = column("message m { required binary a (UTF8); }");
    // A page header, as Thrift writes it: a page of a kind (0: data, 2: dictionary), so many bytes of so many, so many values.
    let page = |kind: u8, claimed: u64, values: u64, codec: Compression, data: &[u8]| {
        let number = |value: u64| {
            let (mut value, mut bytes) = (value << 1, Vec::new());
            while value >= 128 {
                bytes.push(value as u8 | 128);
                value >>= 7;
            }
            bytes.push(value as u8);
            bytes
        };
        let inner = if kind == 0 { 0x2c } else { 0x4c };
        let parts: [&[u8]; 8] = [
            &[0x15, kind << 1, 0x15],
            &number(claimed),
            &[0x15],
            &number(data.len() as u64),
            &[inner, 0x15],
            &number(values),
            &[0, 0],
            data,
        ];
        limits::check_pages(&parts.concat(), codec, &text, 1000)
    };
    let codecs = [
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ];
    for codec in codecs {
        let error = page(0, i32::MAX as u64, 1, codec, b"ab").unwrap_err();
        assert_eq!(error, "says that 2147483647 bytes were compressed to 2", "{codec:?}");
    }
    assert_eq!(page(0, 2, 1, Compression::UNCOMPRESSED, b"ab"), Ok(()));
    assert!(page(0, 2, 1001, Compression::UNCOMPRESSED, b"ab").unwrap_err().starts_with("says that it has 1001 values"));
    assert_eq!(page(2, 8, 2, Compression::UNCOMPRESSED, b"abcdefgh"), Ok(()));
    let error = page(2, 8, 3, Compression::UNCOMPRESSED, b"abcdefgh").unwrap_err();
    assert_eq!(error, "says that a dictionary of 8 bytes has 3 values");
    // Ten thousand zeros in brotli, that say they are ten.
    let mut zeros = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut zeros, 4096, 5, 22);
    std::io::Write::write_all(&mut writer, &[0; 10_000]).unwrap();
    drop(writer);
    assert_eq!(page(0, 10_000, 1, Compression::BROTLI(Default::default()), &zeros), Ok(()));
    assert!(page(0, 10, 1, Compression::BROTLI(Default::default()), &zeros).unwrap_err().contains("another size"));
}

#[test]
fn schemas_too_deep_or_with_lists_that_are_not_there_are_refused() {
    // FileMetaData: field 2, a list of so many elements; each of one member (field 5).
    let nested = |count: u8| [&[0x29, 0xfc, count][..], &[0x55, 0x02, 0].repeat(usize::from(count)), &[0]].concat();
    assert_eq!(limits::check_metadata(&nested(20)), Ok(()));
    assert_eq!(limits::check_metadata(&nested(60)), Err("has a schema that is nested too deeply".into()));
    let error = limits::check_metadata(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0]).unwrap_err();
    assert_eq!(error, "has metadata with a list of 2147483647 items, more than there are bytes");
    assert_eq!(limits::check_metadata(&[0x15, 2, 0]), Err("has metadata without a schema".into()));
}

#[test]
fn lists_as_older_writers_nest_them() {
    let only = |fields: &str| {
        let schema = parquet::schema::parser::parse_message_type(&format!("message m {{ {fields} }}")).unwrap();
        schema::fields(&schema).map(|mut fields| fields.remove(0).1)
    };
    let list = |def, rep, element| Node::List { def, rep, element: Box::new(element) };
    let optional = |def, inner| Node::Optional { def, inner: Box::new(inner) };
    // Two levels; a field repeated without a group; a group called `array`, of one field; three levels; lists of lists in two levels.
    assert_eq!(only("optional group a (LIST) { repeated binary x (UTF8); }"), Ok(optional(1, list(2, 1, Node::Leaf(0)))));
    assert_eq!(only("repeated binary a (UTF8);"), Ok(list(1, 1, Node::Leaf(0))));
    let object = Node::Object(vec![("x".into(), Node::Leaf(0))]);
    assert_eq!(only("optional group a (LIST) { repeated group array { required binary x (UTF8); } }"), Ok(optional(1, list(2, 1, object))));
    let three = optional(1, list(2, 1, optional(3, Node::Leaf(0))));
    assert_eq!(only("optional group a (LIST) { repeated group list { optional binary x (UTF8); } }"), Ok(three));
    let lists = list(1, 1, list(2, 2, Node::Leaf(0)));
    assert_eq!(only("required group a (LIST) { repeated group array (LIST) { repeated int32 array; } }"), Ok(lists));
    let map = list(1, 1, Node::Object(vec![("key".into(), Node::Leaf(0)), ("value".into(), Node::Leaf(1))]));
    let text = "required group a (MAP) { repeated group key_value { required binary key (UTF8); required int32 value; } }";
    assert_eq!(only(text), Ok(Node::Map(Box::new(map))));
    assert!(only("optional group a (LIST) { required binary x (UTF8); }").unwrap_err().contains("isn't built as one"));
    assert_eq!(only("required int32 a; required int32 a;"), Err("has two columns named `a`".into()));
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
