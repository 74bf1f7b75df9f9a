//! Every operation and every rule against finite differences in f64, by the plain evaluation alone and on a CPU
//! plugin; and the text of central programs. After a change of it that is meant: `EXPO_XLA_WRITE_GOLDEN=1 cargo test
//! -p expo-xla --test operations`, and look at the difference.

mod support;

// The cases and their check are the example's, which prints the differences.
#[path = "../examples/op_table/cases.rs"]
mod cases;
#[path = "../examples/op_table/check.rs"]
mod check;
#[path = "../examples/op_table/random.rs"]
mod random;

use std::path::Path;

use check::On;
use expo_xla::Program;
use expo_xla::client::CompileOptions;
use expo_xla::graph::{Binary, CustomCall, Graph, Op, Unary};
use expo_xla::{ElementType, Shape};

/// Cases with drawn shapes and attributes: 11 families in turn.
const DRAWN: u64 = 220;

fn all_pass(on: &On<'_>, cases: impl IntoIterator<Item = cases::Case>) {
    let mut wrong = vec![];
    for case in cases {
        match check::check(on, &case) {
            Ok(found) if found.passes(&case) => assert_eq!(found.rule.is_some(), found.compared > 0, "{}", case.name),
            Ok(found) => wrong.push(format!("{}: {found:?}", case.name)),
            Err(message) => wrong.push(format!("{}: {message}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_agree_with_finite_differences_on_the_host() {
    all_pass(&On::Host, cases::all());
    all_pass(&On::Host, (0..DRAWN).map(random::case));
}

#[test]
fn operations_and_rules_agree_with_the_host_and_with_finite_differences_on_a_plugin() {
    let test = "operations_and_rules_agree_with_the_host_and_with_finite_differences_on_a_plugin";
    let Some(client) = support::client(test, &[("cpu_device_count", 4.into())]) else { return };
    all_pass(&On::Plugin(&client), cases::all());
    all_pass(&On::Plugin(&client), (DRAWN..DRAWN + 22).map(random::case));
}

#[test]
fn no_operation_is_without_a_case() {
    let mut text = String::new();
    for case in cases::all() {
        text += &check::program(&case).unwrap().text;
    }
    let elementwise = Unary::ALL.map(Unary::name).into_iter().chain(Binary::ALL.map(Binary::name));
    // A custom call has a test of its own.
    let others = "constant iota compare select convert dot_general reduce broadcast_in_dim reshape transpose slice dynamic_slice dynamic_update_slice
        concatenate pad reverse gather scatter sort while optimization_barrier all_reduce all_gather reduce_scatter";
    for name in elementwise.chain(others.split_whitespace()) {
        assert!(text.contains(&format!("\"stablehlo.{name}\"")), "{name}");
    }
    assert_eq!(Op::Select.name(), "select");
}

/// Programs whose text is kept.
const CHOSEN: [&str; 10] = [
    "dot_general, batch",
    "reduce maximum",
    "slice",
    "pad",
    "gather",
    "sort",
    "while",
    "reduce_scatter",
    "head, one pass",
    "layers, inputs kept",
];

fn file(name: &str) -> std::path::PathBuf {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name + ".mlir")
}

#[test]
fn programs_have_the_text_that_they_had() {
    for name in CHOSEN {
        let case = cases::all().into_iter().find(|case| case.name == name).expect(name);
        let text = check::program(&case).unwrap().text;
        if std::env::var_os("EXPO_XLA_WRITE_GOLDEN").is_some() {
            std::fs::write(file(name), &text).unwrap();
        }
        let golden = std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(text, golden, "{name}");
    }
}

#[test]
fn golden_programs_compile() {
    let Some(client) = support::client("golden_programs_compile", &[("cpu_device_count", 4.into())]) else { return };
    for name in CHOSEN {
        let case = cases::all().into_iter().find(|case| case.name == name).expect(name);
        let program = Program::new(name, std::fs::read_to_string(file(name)).unwrap());
        client.compile(&program, &CompileOptions::replicas(case.replicas)).unwrap();
    }
}

#[test]
fn a_call_of_what_the_plugin_does_not_have_is_told_by_name() {
    let Some(client) = support::client("a_call_of_what_the_plugin_does_not_have_is_told_by_name", &[]) else { return };
    for (api_version, backend_config) in [(2, "text"), (4, "number = 3 : i64")] {
        let mut g = Graph::new();
        let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
        let call = CustomCall { target: "not_there".into(), backend_config: backend_config.into(), api_version, has_side_effect: false };
        let y = g.custom_call(call, &[x], vec![Shape::new(ElementType::F32, &[2])]).unwrap();
        let program = g.program("calls", &y, &[]).unwrap();
        let outcome = client.compile(&program, &CompileOptions::default()).and_then(|executable| {
            let x = client.buffer("x", &[1f32, 2.0], &[2], &client.devices()[0])?;
            executable.execute(&[&x])?[0].to_vec::<f32>()
        });
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("not_there"), "{message}");
    }
}
