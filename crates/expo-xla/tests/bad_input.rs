//! What is no plugin, plugins that misbehave, programs that are refused, memory that is not there, waits that outlast
//! their limit.

mod support;

use std::path::Path;
use std::time::Duration;

use expo_xla::client::{CompileOptions, Limits, Plugin, Value};
use expo_xla::{Argument, ElementType, Error, Program, Shape};

/// The error of loading `path`.
fn refusal(path: &Path) -> String {
    match Plugin::load(path) {
        Ok(_) => panic!("{} was loaded", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_plugin_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.so");
    let message = refusal(&missing);
    assert!(message.contains("missing.so: can't be loaded as a PJRT plugin: No such file"), "{message}");
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library at all, only some words in a file that is long enough to hold an ELF header\n").unwrap();
    let message = refusal(&text);
    assert!(message.contains("text.so: can't be loaded as a PJRT plugin: "), "{message}");
    let message = refusal(folder.path());
    assert!(message.contains("can't be loaded as a PJRT plugin: "), "{message}");
    // A library that is surely there, since this process uses it.
    #[cfg(target_os = "linux")]
    {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let library =
            maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so") || path.contains("libc-"));
        let message = refusal(Path::new(library.expect("a C library")));
        assert!(message.contains("a shared library, but no PJRT plugin: it has no function GetPjrtApi"), "{message}");
    }
}

#[test]
fn plugins_that_misbehave_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let fake = |behaviour| support::fake("plugins_that_misbehave_are_told", folder.path(), behaviour);
    let Some(other) = fake("OTHER_MAJOR") else { return };
    let message = refusal(&other);
    assert!(
        message.contains("fake-OTHER_MAJOR.so: speaks version 1.0 of the PJRT C API; this program speaks 0.57 and later versions 0.x"),
        "{message}"
    );
    let message = refusal(&fake("OLDER").unwrap());
    assert!(message.contains("fake-OLDER.so: speaks version 0.40 of the PJRT C API"), "{message}");
    let message = refusal(&fake("NO_TABLE").unwrap());
    assert!(message.contains("no PJRT plugin: its GetPjrtApi returns nothing"), "{message}");
    let message = refusal(&fake("REFUSES").unwrap());
    assert!(message.ends_with("fake-REFUSES.so: initialising: FAILED_PRECONDITION: the driver is older than this plugin"), "{message}");

    // These load; making a client fails.
    let client = |behaviour, limits| Plugin::load(&fake(behaviour).unwrap()).unwrap().client(&[], limits).unwrap_err();
    let error = client("SHORT", Limits::default());
    let message = "making a client: the plugin has no PJRT_Client_Create (it speaks version 0.81 of the PJRT C API)";
    assert!(error.to_string().ends_with(message), "{error}");
    let error = client("GIVES_NOTHING", Limits::default());
    assert!(error.to_string().ends_with("INTERNAL: PJRT_Client_Create reports success but gives nothing"), "{error}");
    let error = client("HANGS", Limits { create: Duration::from_millis(100), ..Limits::default() });
    assert!(error.to_string().ends_with("making a client: not done after 0.1 s, the limit"), "{error}");
}

#[test]
fn an_option_that_the_plugin_does_not_know_is_refused() {
    let Some(path) = support::plugin_path("an_option_that_the_plugin_does_not_know_is_refused") else { return };
    let plugin = Plugin::load(&path).unwrap();
    // A plugin names the option that it refuses, whatever its kind; which kinds it could take is its own affair.
    for value in [Value::from("text"), Value::from(1), Value::from(0.5), Value::from(true), Value::Integers(vec![1, 2])] {
        match plugin.client(&[("no_such_option", value)], Limits::default()) {
            Err(error) => assert!(error.to_string().contains("no_such_option"), "{error}"),
            // xla-cpu-pjrt 0.0.1 passes over them.
            Ok(client) => assert_eq!((client.platform(), plugin.api_version()), ("cpu", (0, 81))),
        }
    }
}

#[test]
fn a_program_that_is_refused_shows_xlas_words() {
    let Some(client) = support::client("a_program_that_is_refused_shows_xlas_words", &[]) else { return };
    let compile = |text: &str| client.compile(&Program::new("wrong", text), &CompileOptions::default()).unwrap_err();
    let error = compile("this is no StableHLO");
    assert!(error.to_string().starts_with("compiling wrong: "), "{error}");
    assert!(error.to_string().contains("custom op 'this' is unknown"), "{error}");
    let error = compile(
        "func.func public @main(%a: tensor<2xf32>) -> tensor<3xf32> {
           %0 = stablehlo.tanh %a : tensor<3xf32>
           return %0 : tensor<3xf32>
         }",
    );
    assert!(error.to_string().contains("'%a'") && error.to_string().contains("tensor<3xf32>"), "{error}");
    let error = compile("");
    assert!(matches!(error, Error::Xla { .. }), "{error}");
    let flagged = CompileOptions::default().flag("xla_no_such_flag", true);
    let error = client.compile(&Program::new("flagged", "func.func public @main() { return }"), &flagged).unwrap_err();
    assert!(error.to_string().contains("xla_no_such_flag"), "{error}");
    let error = client.load(&Program::new("stored", ""), b"no compiled program").unwrap_err();
    assert!(error.to_string().starts_with("loading stored: "), "{error}");
}

#[test]
fn calls_that_do_not_fit_are_refused_by_name() {
    let Some(client) = support::client("calls_that_do_not_fit_are_refused_by_name", &[]) else { return };
    let device = &client.devices()[0];
    let message = |error: Error| error.to_string();
    assert_eq!(message(client.buffer("x", &[1f32; 5], &[2, 3], device).unwrap_err()), "x: 5 elements are no 2x3xf32");
    assert_eq!(
        message(client.buffer("x", &[1f32], &[usize::MAX, 2], device).unwrap_err()),
        format!("x: 1 elements are no {}x2xf32", usize::MAX)
    );
    let shape = Shape::new(ElementType::F32, &[2, 3]);
    let argument = Argument { name: "x".to_owned(), shape };
    let text = "func.func public @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {\n  return %x : tensor<2x3xf32>\n}";
    let executable = client.compile(&Program::new("same", text).with_arguments(vec![argument]), &CompileOptions::default()).unwrap();
    let x = client.buffer("batch", &[1f32; 6], &[2, 3], device).unwrap();
    let turned = client.buffer("turned", &[1f32; 6], &[3, 2], device).unwrap();
    let whole = client.buffer("whole", &[1i32; 6], &[2, 3], device).unwrap();
    assert_eq!(message(executable.execute(&[]).unwrap_err()), "same: takes 1 arguments, not 0");
    assert_eq!(message(executable.execute(&[&x, &x]).unwrap_err()), "same: takes 1 arguments, not 2");
    assert_eq!(message(executable.execute(&[&turned]).unwrap_err()), "same: argument 0 (x) is 2x3xf32, not 3x2xf32 (turned)");
    assert_eq!(message(executable.execute(&[&whole]).unwrap_err()), "same: argument 0 (x) is 2x3xf32, not 2x3xi32 (whole)");
    assert_eq!(message(executable.execute_on_all(&[&[&x], &[&x]]).unwrap_err()), "same: runs on 1 devices, but has arguments for 2");
    assert_eq!(message(x.to_vec::<i32>().unwrap_err()), "batch: holds f32, not i32");
    // The plugin itself counts arguments where the program does not describe them.
    let undescribed = client.compile(&Program::new("undescribed", text), &CompileOptions::default()).unwrap();
    let error = undescribed.execute(&[&x, &x]).unwrap_err();
    assert!(matches!(error, Error::Xla { .. }), "{error}");

    let other = support::client("calls_that_do_not_fit_are_refused_by_name", &[]).unwrap();
    let foreign = other.buffer("foreign", &[1f32; 6], &[2, 3], &other.devices()[0]).unwrap();
    assert_eq!(message(executable.execute(&[&foreign]).unwrap_err()), "same: argument 0 (foreign) is another client's");
    assert_eq!(message(client.buffer("x", &[1f32], &[1], &other.devices()[0]).unwrap_err()), "x: device 0 is another client's");
}

#[test]
fn memory_that_is_not_there_is_told() {
    let test = "memory_that_is_not_there_is_told";
    if support::plugin_path(test).is_none() {
        return;
    }
    // A million gigabytes between input and output.
    let text = "func.func public @main(%x: tensor<1xf32>) -> tensor<1000000x1000x250000xf32> {
      %0 = stablehlo.broadcast_in_dim %x, dims = [0] : (tensor<1xf32>) -> tensor<1000000x1000x250000xf32>
      return %0 : tensor<1000000x1000x250000xf32>
    }";
    let child = support::in_child(test, || {
        let client = support::client(test, &[]).unwrap();
        let executable = client.compile(&Program::new("huge", text), &CompileOptions::default()).unwrap();
        let x = client.buffer("x", &[1f32], &[1], &client.devices()[0]).unwrap();
        let error = executable.execute(&[&x]).and_then(|outputs| outputs[0].wait()).unwrap_err();
        let Error::Xla { code, .. } = &error else { panic!("{error}") };
        assert_eq!(code.name(), "RESOURCE_EXHAUSTED", "{error}");
        eprintln!("told: {error}");
    });
    if let Some((well, words)) = child {
        assert!(well && words.contains("told: "), "{words}");
    }
}

/// Counts to 10^12.
const ENDLESS: &str = r#"
func.func public @main(%n: tensor<i64>) -> tensor<i64> {
  %0 = "stablehlo.while"(%n) ({
    ^bb0(%i: tensor<i64>):
      %end = "stablehlo.constant"() <{value = dense<1000000000000> : tensor<i64>}> : () -> tensor<i64>
      %go = "stablehlo.compare"(%i, %end) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i64>, tensor<i64>) -> tensor<i1>
      "stablehlo.return"(%go) : (tensor<i1>) -> ()
  }, {
    ^bb0(%i: tensor<i64>):
      %one = "stablehlo.constant"() <{value = dense<1> : tensor<i64>}> : () -> tensor<i64>
      %next = "stablehlo.add"(%i, %one) : (tensor<i64>, tensor<i64>) -> tensor<i64>
      "stablehlo.return"(%next) : (tensor<i64>) -> ()
  }) : (tensor<i64>) -> tensor<i64>
  return %0 : tensor<i64>
}"#;

#[test]
fn a_wait_that_outlasts_its_limit_is_told_and_the_process_ends() {
    let test = "a_wait_that_outlasts_its_limit_is_told_and_the_process_ends";
    let Some(path) = support::plugin_path(test) else { return };
    let child = support::in_child(test, || {
        let limits = Limits { result: Duration::from_millis(300), ..Limits::default() };
        let client = Plugin::load(&path).unwrap().client(&[], limits).unwrap();
        let executable = client.compile(&Program::new("endless", ENDLESS), &CompileOptions::default()).unwrap();
        let n = client.buffer("n", &[0i64], &[], &client.devices()[0]).unwrap();
        // Some plugins run it inside the call, others give outputs that never come.
        match executable.execute(&[&n]) {
            Err(error) => assert_eq!(error.to_string(), "running endless: not done after 0.3 s, the limit"),
            Ok(outputs) => {
                assert_eq!(outputs[0].wait().unwrap_err().to_string(), "output 0 of endless: not done after 0.3 s, the limit");
                let error = outputs[0].to_vec::<i64>().unwrap_err();
                assert_eq!(error.to_string(), "output 0 of endless: to the host: not done after 0.3 s, the limit");
            }
        }
        drop((n, executable, client));
        eprintln!("told");
    });
    if let Some((well, words)) = child {
        assert!(well && words.contains("told"), "{words}");
    }
}

#[test]
fn devices_that_a_plugin_cannot_describe_are_refused() {
    let Some(path) = support::plugin_path("devices_that_a_plugin_cannot_describe_are_refused") else { return };
    // Those for CPUs describe none.
    let error = Plugin::load(&path).unwrap().topology("", &[("topology", "1x1x8".into())]).unwrap_err();
    assert!(error.to_string().contains(": describing devices: UNIMPLEMENTED: "), "{error}");
}
