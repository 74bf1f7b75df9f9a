//! Runs of every algorithm that die at counted points, or find the disk full there, and go on: they end with the bytes of the undisturbed run.
//!
//! Points are drawn by a seed: the n-th write, flush, rename or step. `EXPO_RL_FAULT_POINTS` sets how many an algorithm, `EXPO_RL_FAULT_KILLS` how many true
//! SIGKILLs at random times; scripts/fault-harness runs many.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::algorithms::{ALGORITHMS, Algorithm, assert_outcome, has_ended, outcome};
use support::text;

fn number_from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// A number that only depends on `parts`.
fn draw(parts: &[u64]) -> u64 {
    // SplitMix64's output function over what came before.
    parts.iter().fold(0, |state: u64, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn finish(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

/// Lets the run in `out` go on until it has ended.
fn go_on(algorithm: &Algorithm, data: &Path, out: &Path, what: &str) {
    if !has_ended(out) {
        // Each of the two ways to go on.
        let mut command = algorithm.command(data, out, &[]);
        if draw(&[what.len() as u64]).is_multiple_of(2) {
            command.arg("--resume");
        }
        let output = finish(&mut command);
        assert!(output.status.success(), "{what}: {}", text(&output.stderr));
    }
    assert!(has_ended(out), "{what}");
}

const KINDS: [&str; 4] = ["write", "sync", "rename", "step"];
const ACTIONS: [&str; 3] = ["abort", "power", "full"];

fn survives(index: usize) {
    let algorithm = &ALGORITHMS[index];
    let folder = tempfile::tempdir().unwrap();
    let [data, whole, log] = ["data", "whole", "log"].map(|name| folder.path().join(name));
    std::fs::create_dir(&data).unwrap();
    let output = finish(algorithm.command(&data, &whole, &[]).env("EXPO_RL_FAULT_LOG", &log));
    assert!(output.status.success(), "{}: {}", algorithm.name, text(&output.stderr));
    let expected = outcome(&whole);
    let passed = std::fs::read_to_string(&log).unwrap();
    let points = number_from_environment("EXPO_RL_FAULT_POINTS", 3);
    let mut stops = 0;
    for point in 0..points {
        let seed = [index as u64, point as u64];
        let kind = KINDS[(index + point) % KINDS.len()];
        // A full disk is met by writes alone.
        let action = if kind == "write" { ACTIONS[draw(&[seed[0], seed[1], 1]) as usize % 3] } else { ACTIONS[point % 2] };
        let count = passed.lines().filter(|line| *line == kind).count() as u64;
        assert!(count > 0, "{}: no {kind} was passed", algorithm.name);
        let at = 1 + draw(&[seed[0], seed[1], 2]) % count;
        let what = format!("{}: {action} at {kind} {at} of {count}", algorithm.name);
        let out = folder.path().join(format!("run-{point}"));
        let output = finish(algorithm.command(&data, &out, &[]).env("EXPO_RL_FAULT", format!("{kind}:{at}:{action}")));
        assert!(!output.status.success(), "{what}: not met");
        if action == "full" {
            assert_eq!(output.status.code(), Some(1), "{what}");
            let message = text(&output.stderr);
            assert!(message.contains("error: ") && message.contains("no storage space"), "{what}: {message}");
        }
        stops += 1;
        go_on(algorithm, &data, &out, &what);
        assert_outcome(&expected, &out, &what);
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{}: stopped {stops} times, {stops} of the runs ended with the undisturbed run's bytes", algorithm.name);
}

macro_rules! survive {
    ($($name:ident = $index:literal),+ $(,)?) => {$(
        #[test]
        fn $name() {
            survives($index);
        }
    )+};
}
survive! {
    grpo_survives = 0,
    dapo_survives = 1,
    exp_grpo_survives = 2,
    exp_grpo_with_an_average_survives = 3,
    grpo_sft_gt_cot_survives = 4,
    dpo_survives = 5,
    exp_dpo_online_survives = 6,
    exp_dpo_offline_survives = 7,
    sft_survives = 8,
    star_survives = 9,
    luffy_with_8_bit_moments_survives = 10,
    exp_grpo_with_an_adapter_and_the_best_weights_survives = 11,
}

/// Not a fault that was planned, but the real thing: whatever the moment, the run ends with the same bytes.
#[test]
fn killed_at_any_time() {
    let kills = number_from_environment("EXPO_RL_FAULT_KILLS", 3);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        // A new algorithm each round.
        let algorithm = &ALGORITHMS[(seed as usize % ALGORITHMS.len() + round) % ALGORITHMS.len()];
        let [whole, out] = ["whole", "run"].map(|name| folder.path().join(format!("{name}-{round}")));
        let start = Instant::now();
        assert!(algorithm.run(&data, &whole).status.success());
        let duration = start.elapsed().as_micros() as u64;
        // Twice on the way, where it is still on the way.
        for attempt in 0..2 {
            let mut child = algorithm.command(&data, &out, &[]).arg("--resume").spawn().unwrap();
            std::thread::sleep(Duration::from_micros(draw(&[seed, round as u64, attempt]) % duration));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
            if has_ended(&out) {
                break;
            }
        }
        let what = format!("{}: killed, seed {seed}", algorithm.name);
        go_on(algorithm, &data, &out, &what);
        assert_outcome(&outcome(&whole), &out, &what);
        round += 1;
    }
    println!("killed {killed} times in {round} runs, all of which ended with the undisturbed run's bytes");
}
