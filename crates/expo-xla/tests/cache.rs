//! The cache of compiled programs: found again, and what happens to entries that don't fit.

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use expo_xla::Program;
use expo_xla::cache::{Cache, Cached};
use expo_xla::client::{Client, CompileOptions};
use sha2::{Digest, Sha256};

fn program() -> Program {
    Program::new(
        "twice / 2",
        "func.func public @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n  %0 = stablehlo.add %x, %x : tensor<2xf32>\n  return %0 : tensor<2xf32>\n}",
    )
}

/// A cache and what it tells.
fn cache(folder: &Path) -> (Cache, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    (Cache::new(folder, move |notice| listener.lock().unwrap().push(notice.to_owned())), told)
}

/// Compiles by a cache of its own and checks the result; gives what was told, too.
fn compile(client: &Client, folder: &Path, program: &Program, options: &CompileOptions) -> (Cached, Vec<String>) {
    let (cache, told) = cache(folder);
    let cached = cache.compile(client, program, options).unwrap();
    let x = client.buffer("x", &[1f32, 2.0], &[2], &client.devices()[0]).unwrap();
    assert_eq!(cached.executable.execute(&[&x]).unwrap()[0].to_vec::<f32>().unwrap(), [2.0, 4.0]);
    let told = told.lock().unwrap().clone();
    (cached, told)
}

#[test]
fn a_program_is_found_again_by_text_and_options() {
    let Some(client) = support::client("a_program_is_found_again_by_text_and_options", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    let plain = CompileOptions::default();
    let (first, told) = compile(&client, &folder, &program(), &plain);
    assert!(!first.found && told.is_empty(), "{told:?}");
    let (second, told) = compile(&client, &folder, &program(), &plain);
    assert!(second.found && told.is_empty(), "{told:?}");
    assert_eq!(first.sha256, second.sha256);
    assert_eq!(first.sha256.unwrap().len(), 64);
    // Nothing is left of writing, and the name says what it is.
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 1);
    assert!(names[0].starts_with("twice___2-") && names[0].ends_with(".xla"), "{names:?}");
    // Another text and other options are other entries.
    let mut other = program();
    other.text += "\n// another";
    assert!(!compile(&client, &folder, &other, &plain).0.found);
    let flagged = CompileOptions::default().flag("xla_cpu_enable_fast_math", false);
    assert!(!compile(&client, &folder, &program(), &flagged).0.found);
    assert!(compile(&client, &folder, &program(), &flagged).0.found);
    assert!(compile(&client, &folder, &program(), &plain).0.found);
}

#[test]
fn entries_that_do_not_fit_are_told_and_made_anew() {
    let Some(client) = support::client("entries_that_do_not_fit_are_told_and_made_anew", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = CompileOptions::default();
    compile(&client, folder.path(), &program(), &options);
    let path = cache(folder.path()).0.path(&client, &program(), &options);
    let good = std::fs::read(&path).unwrap();
    let magic = b"expo-xla program 1\n".len();
    // An entry with another origin and a checksum that fits.
    let with_origin = |change: &dyn Fn(&str) -> String| {
        let length = u32::from_le_bytes(good[magic + 32..magic + 36].try_into().unwrap()) as usize;
        let origin = change(std::str::from_utf8(&good[magic + 36..magic + 36 + length]).unwrap());
        let mut rest = u32::try_from(origin.len()).unwrap().to_le_bytes().to_vec();
        rest.extend(origin.as_bytes());
        rest.extend(&good[magic + 36 + length..]);
        [&good[..magic], &Sha256::digest(&rest)[..], &rest].concat()
    };
    let line = |origin: &str, name: &str| origin.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("one bit", flipped, "the entry is damaged"),
        ("one byte more", longer, "the entry is damaged"),
        ("cut", good[..good.len() / 2].to_vec(), "the entry is damaged"),
        ("cut in its head", good[..magic + 10].to_vec(), "the entry is damaged"),
        ("empty", Vec::new(), "no entry of this version of the cache"),
        ("older layout", [b"expo-xla program 0\n", &good[magic..]].concat(), "no entry of this version of the cache"),
        (
            "other plugin",
            with_origin(&|origin| origin.replace(&line(origin, "plugin "), "plugin other.so")),
            "the entry was made for \"plugin other.so\"",
        ),
        (
            "other processor",
            with_origin(&|origin| origin.replace(&line(origin, "processor "), "processor x87")),
            "made for \"processor x87\"",
        ),
        ("other program", with_origin(&|origin| origin.replace(&line(origin, "program "), "program 0")), "made for \"program 0\""),
        ("origin cut", with_origin(&|origin| origin[..20].to_owned()), "the entry was made for"),
        (
            "no program inside",
            {
                let length = u32::from_le_bytes(good[magic + 32..magic + 36].try_into().unwrap()) as usize;
                let rest = [&good[magic + 32..magic + 36 + length], b"no program"].concat();
                [&good[..magic], &Sha256::digest(&rest)[..], &rest].concat()
            },
            "loading twice / 2: ",
        ),
    ];
    for (what, entry, words) in cases {
        std::fs::write(&path, entry).unwrap();
        let (cached, told) = compile(&client, folder.path(), &program(), &options);
        assert!(!cached.found, "{what}");
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        assert!(told[0].starts_with(&format!("{}: ", path.display())), "{what}: {told:?}");
        assert!(told[0].contains(words) && told[0].ends_with(". The program is compiled anew"), "{what}: {told:?}");
        // The next start finds it.
        let (cached, told) = compile(&client, folder.path(), &program(), &options);
        assert!(cached.found && told.is_empty(), "{what}: {told:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once() {
    let Some(client) = support::client("a_folder_that_cannot_be_written_is_told_once", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    // A file stands where the folder should be: so for root, too.
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let (cache, told) = cache(&taken);
    let mut other = program();
    other.name = "other".to_owned();
    other.text += "\n// other";
    for program in [program(), other] {
        let cached = cache.compile(&client, &program, &CompileOptions::default()).unwrap();
        assert!(!cached.found && cached.sha256.is_some());
    }
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(&format!("{}: ", taken.display())) && told[0].contains("Programs are not kept there"), "{told:?}");
}

#[test]
fn a_program_that_is_refused_leaves_no_entry() {
    let Some(client) = support::client("a_program_that_is_refused_leaves_no_entry", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (cache, told) = cache(folder.path());
    let error = cache.compile(&client, &Program::new("wrong", "no program"), &CompileOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("compiling wrong: "), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(told.lock().unwrap().is_empty());
}
