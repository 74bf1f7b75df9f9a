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
