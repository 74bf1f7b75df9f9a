//! Every operation and rule on a plugin, with its largest difference from a plain evaluation and from finite
//! differences in f64: `cargo run --release -p expo-xla --example op_table -- PLUGIN [PART OF A NAME [NUMBER OF DRAWN
//! CASES]]`. With `host` for PLUGIN the plain evaluation alone is run.

mod cases;
mod check;
mod random;

use expo_xla::client::{Limits, Plugin};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which plugin? Its path is the first argument")?;
    let only = arguments.next().unwrap_or_default();
    let drawn: u64 = arguments.next().map_or(Ok(0), |number| number.parse())?;
    let client = match path.as_str() {
        "host" => None,
        plugin => Some(Plugin::load(plugin.as_ref())?.client(&[("cpu_device_count", 4.into())], Limits::default())?),
    };
    if let Some(client) = &client {
        println!("{path}: StableHLO {:?}", client.plugin().attribute("stablehlo_current_version"));
    }
    let on = client.as_ref().map_or(check::On::Host, check::On::Plugin);
    let (mut failed, mut worst, mut count) = (0, [0f64; 2], 0);
    println!("{:<40} {:>12} {:>12} {:>9}", "case", "value", "rule", "compared");
    for case in cases::all().into_iter().chain((0..drawn).map(random::case)).filter(|case| case.name.contains(&only)) {
        count += 1;
        match check::check(&on, &case) {
            Ok(found) => {
                failed += usize::from(!found.passes(&case));
                let rule = found.rule.map_or("-".into(), |d| format!("{d:.1e}"));
                worst = [worst[0].max(found.value), worst[1].max(found.rule.unwrap_or(0.0))];
                println!("{:<40} {:>12.1e} {rule:>12} {:>9}", case.name, found.value, found.compared);
            }
            Err(message) => {
                failed += 1;
                println!("{:<40} FAILED: {message}", case.name);
            }
        }
    }
    println!(
        "{count} cases, {failed} failed; largest difference from the host's value {:.1e}, from finite differences {:.1e}",
        worst[0], worst[1]
    );
    if failed > 0 { Err("cases failed".into()) } else { Ok(()) }
}
