//! The crate's files stand on each other without circles. `cargo test -p expo-lm --test rooms -- --nocapture` prints what uses what in circles.

#[path = "support/rooms.rs"]
mod rooms;

use std::path::Path;

use rooms::Rooms;

#[test]
fn no_circle_of_files() {
    let rooms = Rooms::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    println!("{}", rooms.summary());
    assert!(rooms.circles().iter().all(|circle| circle.len() <= 3), "{}", rooms.summary());
}

/// The reader itself: a circle through a name that another file passes on, and what makes none.
#[test]
fn circles_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, source).expect("written");
    };
    write("lib.rs", "mod a; mod b; mod c; mod leaf;\npub use a::A;");
    write(
        "a/mod.rs",
        "mod inner; pub use inner::Deep; use crate::b::{self, B as Bee};\n/* use crate::c::C; */ const C: char = '\"'; fn f() -> Bee { b::g() }",
    );
    write("a/inner.rs", "use super::C; // crate::c::C\nfn f<'a>(x: &'a str) { crate::leaf::f(\"crate::c::C\") }");
    write("b.rs", "use crate::A;\nmod inline { use super::super::a::Deep; }");
    write("c.rs", "use crate::{b::B, leaf::f};\n#[cfg(test)]\nmod tests { use crate::a::A; }");
    write("leaf.rs", "#[cfg(test)] use crate::c::C;\npub fn f() {}\n#[cfg(test)]\n#[path = \"leaf_tests.rs\"]\nmod tests;");
    write("leaf_tests.rs", "use crate::c::C;");
    let rooms = Rooms::read(folder.path());
    assert_eq!(rooms.circles(), [["a/inner", "a/mod", "b"]], "{}", rooms.summary());
    assert!(rooms.summary().starts_with("6 files, 7 arrows, 1 of them up, largest circle 3\n"), "{}", rooms.summary());
}
