//! The client with a CPU plugin: arrays in and out, programs, donation, several devices.

mod support;

use expo_xla::client::CompileOptions;
use expo_xla::{Argument, ElementType, Program, Shape};
use half::bf16;

const MATMUL: &str = r#"
func.func public @main(%a: tensor<2x3xf32>, %b: tensor<3x2xf32>) -> tensor<2x2xf32> {
  %0 = "stablehlo.dot_general"(%a, %b) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>,
    precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x3xf32>, tensor<3x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}"#;

#[test]
fn a_product_is_computed() {
    let Some(client) = support::client("a_product_is_computed", &[]) else { return };
    let arguments = vec![
        Argument { name: "a".to_owned(), shape: Shape::new(ElementType::F32, &[2, 3]) },
        Argument { name: "b".to_owned(), shape: Shape::new(ElementType::F32, &[3, 2]) },
    ];
    let program = Program::new("matmul", MATMUL).with_arguments(arguments);
    let executable = client.compile(&program, &CompileOptions::default()).unwrap();
    let device = &client.devices()[0];
    let a = client.buffer("a", &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], device).unwrap();
    let b = client.buffer_from_vec("b", vec![1f32, 0.0, 0.0, 1.0, 1.0, 0.0], &[3, 2], device).unwrap();
    let outputs = executable.execute(&[&a, &b]).unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].shape(), &Shape::new(ElementType::F32, &[2, 2]));
    outputs[0].wait().unwrap();
    assert_eq!(outputs[0].to_vec::<f32>().unwrap(), [4.0, 2.0, 10.0, 5.0]);
    let memory = executable.compiled().memory().unwrap();
    assert_eq!((memory.arguments, memory.outputs, memory.aliased), (48, 16, 0));
}

#[test]
fn every_element_type_goes_in_and_comes_out() {
    let Some(client) = support::client("every_element_type_goes_in_and_comes_out", &[]) else { return };
    fn round_trip<T: expo_xla::Element + PartialEq + std::fmt::Debug>(client: &expo_xla::client::Client, values: &[T]) {
        let device = &client.devices()[0];
        let shape = Shape::new(T::TYPE, &[values.len()]);
        // Through a program, so that plugin and StableHLO mean the same by the type.
        let text = format!("func.func public @main(%x: tensor<{shape}>) -> tensor<{shape}> {{\n  return %x : tensor<{shape}>\n}}");
        let executable = client.compile(&Program::new(shape.to_string(), text), &CompileOptions::default()).unwrap();
        let x = client.buffer("x", values, &shape.dimensions, device).unwrap();
        let y = &executable.execute(&[&x]).unwrap()[0];
        assert_eq!(y.shape(), &shape);
        assert_eq!(y.to_vec::<T>().unwrap(), values);
    }
    round_trip(&client, &[true, false, true]);
    round_trip(&client, &[i8::MIN, -1, i8::MAX]);
    round_trip(&client, &[i32::MIN, -1, i32::MAX]);
    round_trip(&client, &[i64::MIN, -1, i64::MAX]);
    round_trip(&client, &[0u8, 1, u8::MAX]);
    round_trip(&client, &[0u32, 1, u32::MAX]);
    round_trip(&client, &[0u64, 1, u64::MAX]);
    round_trip(&client, &[half::f16::MAX, half::f16::MIN_POSITIVE]);
    round_trip(&client, &[bf16::MAX, bf16::MIN_POSITIVE, bf16::from_f32(-1.5)]);
    round_trip(&client, &[f32::MAX, f32::MIN_POSITIVE, -0.0]);
    round_trip(&client, &[f64::MAX, f64::MIN_POSITIVE, -0.0]);
}

/// Output 0 takes argument 0's memory.
const DONATES: &str = r#"
func.func public @main(%p: tensor<4xf32> {tf.aliasing_output = 0 : i32}, %g: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.subtract"(%p, %g) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}"#;

#[test]
fn a_donated_buffer_is_gone_and_says_where() {
    let Some(client) = support::client("a_donated_buffer_is_gone_and_says_where", &[]) else { return };
    let executable = client.compile(&Program::new("step", DONATES), &CompileOptions::default()).unwrap();
    assert_eq!(executable.compiled().memory().unwrap().aliased, 16);
    let device = &client.devices()[0];
    let p = client.buffer("weights", &[1f32; 4], &[4], device).unwrap();
    let g = client.buffer("gradient", &[0.25f32; 4], &[4], device).unwrap();
    let outputs = executable.execute(&[&p, &g]).unwrap();
    assert!(p.is_deleted().unwrap() && !g.is_deleted().unwrap());
    assert_eq!(outputs[0].to_vec::<f32>().unwrap(), [0.75; 4]);
    let words = "weights: its memory was donated to step; use that program's output instead";
    assert_eq!(executable.execute(&[&p, &g]).unwrap_err().to_string(), format!("step: argument 0: {words}"));
    assert_eq!(p.to_vec::<f32>().unwrap_err().to_string(), words);
    assert_eq!(p.wait().unwrap_err().to_string(), words);
    // The output goes on where the argument was.
    assert_eq!(executable.execute(&[&outputs[0], &g]).unwrap()[0].to_vec::<f32>().unwrap(), [0.5; 4]);
}

#[test]
fn results_are_row_major_whatever_the_device_does() {
    let Some(client) = support::client("results_are_row_major_whatever_the_device_does", &[]) else { return };
    // XLA makes a transposition of the layout alone where it may.
    let text = "func.func public @main(%x: tensor<2x3xi32>) -> (tensor<3x2xi32>, tensor<2x3xi32>) {
      %0 = stablehlo.transpose %x, dims = [1, 0] : (tensor<2x3xi32>) -> tensor<3x2xi32>
      return %0, %x : tensor<3x2xi32>, tensor<2x3xi32>
    }";
    let executable = client.compile(&Program::new("transpose", text), &CompileOptions::default()).unwrap();
    let x = client.buffer("x", &[1, 2, 3, 4, 5, 6], &[2, 3], &client.devices()[0]).unwrap();
    let outputs = executable.execute(&[&x]).unwrap();
    assert_eq!(outputs[0].to_vec::<i32>().unwrap(), [1, 4, 2, 5, 3, 6]);
    assert_eq!(outputs[1].to_vec::<i32>().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn empty_arrays_and_scalars_go_through() {
    let Some(client) = support::client("empty_arrays_and_scalars_go_through", &[]) else { return };
    let device = &client.devices()[0];
    let empty = client.buffer::<f32>("empty", &[], &[0, 4], device).unwrap();
    assert_eq!(empty.to_vec::<f32>().unwrap(), [0f32; 0]);
    let scalar = client.buffer("scalar", &[2.5f64], &[], device).unwrap();
    assert_eq!(scalar.to_vec::<f64>().unwrap(), [2.5]);
}

#[test]
fn a_serialised_program_computes_the_same() {
    let Some(client) = support::client("a_serialised_program_computes_the_same", &[]) else { return };
    let program = Program::new("matmul", MATMUL);
    let executable = client.compile(&program, &CompileOptions::default()).unwrap();
    let bytes = executable.compiled().serialize().unwrap();
    drop(executable);
    let loaded = client.load(&program, &bytes).unwrap();
    let device = &client.devices()[0];
    let a = client.buffer("a", &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], device).unwrap();
    let b = client.buffer("b", &[1f32, 0.0, 0.0, 1.0, 1.0, 0.0], &[3, 2], device).unwrap();
    assert_eq!(loaded.execute(&[&a, &b]).unwrap()[0].to_vec::<f32>().unwrap(), [4.0, 2.0, 10.0, 5.0]);
}

/// A chain of products, long enough to be under way while the host goes on.
fn chain(size: usize, products: usize) -> Program {
    let t = format!("tensor<{size}x{size}xf32>");
    let mut text = format!("func.func public @main(%0: {t}, %w: {t}) -> {t} {{\n");
    for i in 0..products {
        let next = i + 1;
        text += &format!("  %{next} = stablehlo.dot_general %{i}, %w, contracting_dims = [1] x [0] : ({t}, {t}) -> {t}\n");
    }
    text += &format!("  return %{products} : {t}\n}}");
    Program::new("chain", text)
}

#[test]
fn what_is_dropped_while_the_device_works_is_freed_afterwards() {
    let Some(client) = support::client("what_is_dropped_while_the_device_works_is_freed_afterwards", &[]) else { return };
    const SIZE: usize = 256;
    let executable = client.compile(&chain(SIZE, 40), &CompileOptions::default()).unwrap();
    let device = client.devices()[0].clone();
    let mut identity = vec![0f32; SIZE * SIZE];
    (0..SIZE).for_each(|i| identity[i * SIZE + i] = 1.0);
    let values: Vec<f32> = (0..SIZE * SIZE).map(|i| (i % 251) as f32).collect();
    for _ in 0..3 {
        // Inputs go while they are used, an output before it is there, a copy before it has arrived.
        let w = client.buffer_from_vec("w", identity.clone(), &[SIZE, SIZE], &device).unwrap();
        let x = client.buffer_from_vec("x", values.clone(), &[SIZE, SIZE], &device).unwrap();
        drop(executable.execute(&[&x, &w]).unwrap());
        let mut outputs = executable.execute(&[&x, &w]).unwrap();
        drop((x, w));
        drop(outputs[0].read::<f32>().unwrap());
        let reading = outputs[0].read::<f32>().unwrap();
        drop(outputs.pop());
        assert_eq!(reading.wait().unwrap(), values);
    }
    // Arrays outlive the program and the client's own handle.
    let w = client.buffer_from_vec("w", identity, &[SIZE, SIZE], &device).unwrap();
    let x = client.buffer_from_vec("x", values.clone(), &[SIZE, SIZE], &device).unwrap();
    let y = executable.execute(&[&x, &w]).unwrap();
    drop((executable, client, device, x, w));
    assert_eq!(y[0].to_vec::<f32>().unwrap(), values);
}

#[test]
fn threads_share_a_client() {
    let Some(client) = support::client("threads_share_a_client", &[]) else { return };
    let executable = client.compile(&Program::new("matmul", MATMUL), &CompileOptions::default()).unwrap();
    let b = client.buffer("b", &[1f32, 0.0, 0.0, 1.0, 1.0, 0.0], &[3, 2], &client.devices()[0]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (client, executable, b) = (&client, &executable, &b);
            scope.spawn(move || {
                for round in 0..25 {
                    let first = (thread * 100 + round) as f32;
                    let a = client.buffer("a", &[first, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &client.devices()[0]).unwrap();
                    let outputs = executable.execute(&[&a, b]).unwrap();
                    assert_eq!(outputs[0].to_vec::<f32>().unwrap(), [first + 3.0, 2.0, 10.0, 5.0]);
                }
            });
        }
    });
}

#[test]
fn four_devices_add_up_in_a_child_process() {
    let test = "four_devices_add_up_in_a_child_process";
    if support::plugin_path(test).is_none() {
        return;
    }
    let text = r#"
    module attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 4 : i32} {
      func.func public @main(%x: tensor<2xf32>) -> tensor<2xf32> {
        %0 = "stablehlo.all_reduce"(%x) <{replica_groups = dense<[[0, 1, 2, 3]]> : tensor<1x4xi64>,
          channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
            %s = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
            "stablehlo.return"(%s) : (tensor<f32>) -> ()
        }) : (tensor<2xf32>) -> tensor<2xf32>
        return %0 : tensor<2xf32>
      }
    }"#;
    // XLA ends the process where a collective waits in vain.
    let child = support::in_child(test, || {
        let client = support::client(test, &[("cpu_device_count", 4.into())]).unwrap();
        assert_eq!(client.devices().len(), 4);
        let executable = client.compile(&Program::new("sum", text), &CompileOptions::replicas(4)).unwrap();
        assert_eq!(executable.devices(), client.devices());
        let inputs: Vec<_> =
            client.devices().iter().enumerate().map(|(i, device)| client.buffer("x", &[i as f32, 1.0], &[2], device).unwrap()).collect();
        let lists: Vec<[&expo_xla::client::Buffer; 1]> = inputs.iter().map(|buffer| [buffer]).collect();
        let lists: Vec<&[&expo_xla::client::Buffer]> = lists.iter().map(|list| &list[..]).collect();
        let outputs = executable.execute_on_all(&lists).unwrap();
        for (device, list) in outputs.iter().enumerate() {
            assert_eq!(list[0].name(), format!("output 0 of sum on device {device}"));
            assert_eq!(list[0].to_vec::<f32>().unwrap(), [6.0, 4.0]);
        }
        // One program on the last device alone.
        let options = CompileOptions { devices: Some(vec![3]), ..CompileOptions::default() };
        let alone = client.compile(&Program::new("matmul", MATMUL), &options).unwrap();
        assert_eq!(alone.devices(), &client.devices()[3..]);
        // An array on another device is refused, in XLA's words.
        let (a, b) = (&[0f32; 6], &client.devices()[0]);
        let a = client.buffer("a", a, &[2, 3], b).unwrap();
        let b = client.buffer("b", &[0f32; 6], &[3, 2], &client.devices()[3]).unwrap();
        let error = alone.execute(&[&a, &b]).and_then(|outputs| outputs[0].wait()).unwrap_err();
        assert!(matches!(error, expo_xla::Error::Xla { .. }), "{error}");
        eprintln!("added up");
    });
    if let Some((well, words)) = child {
        assert!(well && words.contains("added up"), "{words}");
    }
}

#[test]
fn a_client_tells_of_itself_and_its_devices() {
    let Some(client) = support::client("a_client_tells_of_itself_and_its_devices", &[]) else { return };
    assert_eq!(client.platform(), "cpu");
    assert!(client.plugin().attribute("stablehlo_current_version").is_some());
    let description = client.devices()[0].description();
    assert_eq!((description.id, description.kind.as_str()), (0, "cpu"));
    // The CPU plugins keep no numbers of memory: an error in their words, or what they say.
    match client.devices()[0].memory() {
        Ok(memory) => assert!(memory.in_use >= 0),
        Err(error) => assert!(error.to_string().starts_with("memory of device 0: "), "{error}"),
    }
}
