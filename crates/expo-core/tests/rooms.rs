//! The crate's files stand on each other without circles. `cargo test -p expo-core --test rooms -- --nocapture` prints what uses what in circles.

#[path = "../../expo-lm/tests/support/rooms.rs"]
mod rooms;

use std::path::Path;

use rooms::Rooms;

#[test]
fn no_circle_of_files() {
    let rooms = Rooms::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    println!("{}", rooms.summary());
    assert!(rooms.circles().iter().all(|circle| circle.len() <= 3), "{}", rooms.summary());
}
