//! What can't be built, and what a finished program no longer holds.

use super::*;

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn shapes_that_do_not_fit_are_told_by_the_operation_with_both() {
    let mut g = Graph::new();
    let a = g.parameter("a", ElementType::F32, &[2, 3]).unwrap();
    let b = g.parameter("b", ElementType::F32, &[3, 2]).unwrap();
    let c = g.parameter("c", ElementType::Bf16, &[2, 3]).unwrap();
    let i = g.parameter("i", ElementType::S32, &[4]).unwrap();
    assert_eq!(message(g.add(a, b)), "add: 2x3xf32 and 3x2xf32 are not of one type");
    assert_eq!(message(g.multiply(a, c)), "multiply: 2x3xf32 and 2x3xbf16 are not of one type");
    assert_eq!(message(g.exponential(i)), "exponential: not of 4xi32");
    assert_eq!(message(g.and(a, a)), "and: not of 2x3xf32");
    assert!(message(g.linear(a, b)).starts_with("dot_general: 2x3xf32 by 3x2xf32"));
    assert_eq!(message(g.reshape(a, &[7])), "reshape: 2x3xf32 into [7], which has another number of elements");
    assert_eq!(message(g.transpose(a, &[0, 0])), "transpose: 2x3xf32 by [0, 0]");
    assert!(message(g.broadcast_in_dim(a, &[2, 4], &[0, 1])).starts_with("broadcast_in_dim: 2x3xf32 into [2, 4]"));
    assert!(message(g.slice(a, &[0, 0], &[3, 3], &[1, 1])).starts_with("slice: "));
    assert!(message(g.reduce(Reducer::Add, a, &[2])).starts_with("reduce: 2x3xf32 over dimensions [2]"));
    assert!(message(g.concatenate(&[a, b], 0)).starts_with("concatenate: 2x3xf32, 3x2xf32 along dimension 0"));
    assert!(message(g.concatenate(&[], 0)).starts_with("concatenate: "));
    assert!(message(g.gather(a, a)).starts_with("gather: rows of 2x3xf32 at 2x3xf32"));
    assert!(message(g.dynamic_slice(a, &[i, i], &[1, 1])).starts_with("dynamic_slice: indices 4xi32, 4xi32 of 2x3xf32: one"));
    assert!(message(g.select(a, a, a)).starts_with("select: predicate 2x3xf32 of 2x3xf32"));
    assert!(message(g.all_reduce(Reducer::Add, a, &ReplicaGroups::all(2))).starts_with("all_reduce: groups [[0, 1]]"));
    assert!(message(g.iota(1, ElementType::S32, &[4])).starts_with("iota: dimension 1 of 4xi32"));
}

#[test]
fn a_loop_carries_what_it_began_with() {
    let mut g = Graph::new();
    let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
    let found = g.while_loop(3, &[x], |g, _, carried| Ok(vec![g.convert(carried[0], ElementType::F64)?]));
    assert_eq!(message(found), "while: carried value 0 is 2xf32 before and 2xf64 after the body");
    let found = g.while_loop(3, &[x], |_, _, _| Ok(vec![]));
    assert_eq!(message(found), "while: the body returns 0 values for 1 carried ones");
    // A failed body leaves the program open where it was.
    let mut inside = x;
    g.while_loop(3, &[x], |g, _, carried| {
        inside = g.negate(carried[0])?;
        Ok(vec![inside])
    })
    .unwrap();
    assert_eq!(message(g.negate(inside)), "negate: an operand is of another graph, or of a loop that is finished");
    assert!(message(g.program("p", &[inside], &[])).starts_with("program: its results must be values of the program"));
}

#[test]
fn what_nothing_uses_is_not_in_the_program() {
    let mut g = Graph::new();
    let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
    let y = g.exponential(x).unwrap();
    let unused = g.tanh(y).unwrap();
    let call = CustomCall { target: "told".into(), backend_config: String::new(), api_version: 2, has_side_effect: true };
    g.custom_call(call.clone(), &[x], vec![]).unwrap();
    g.custom_call(CustomCall { target: "quiet".into(), has_side_effect: false, ..call }, &[x], vec![]).unwrap();
    let text = g.program("p", &[y], &[]).unwrap().text;
    assert!(!text.contains("tanh") && !text.contains("quiet") && text.contains("told"), "{text}");
    assert!(g.program("p", &[unused], &[]).unwrap().text.contains("tanh"));
}

#[test]
fn constants_are_written_once_and_not_carried() {
    let mut g = Graph::new();
    let x = g.parameter("x", ElementType::F32, &[]).unwrap();
    let (two, again) = (g.scalar(2.0, ElementType::F32).unwrap(), g.scalar(2.0, ElementType::F32).unwrap());
    let sum = g.add(two, again).unwrap();
    let start = g.add(sum, x).unwrap();
    let done = g.while_loop(3, &[start], |g, _, carried| Ok(vec![g.multiply(carried[0], two)?])).unwrap();
    let text = g.program("p", &[done[0]], &[]).unwrap().text;
    // Once outside and once in the body.
    assert_eq!(text.matches("dense<2.0e0>").count(), 2, "{text}");
    assert!(text.contains(" : (tensor<i32>, tensor<f32>) -> (tensor<i32>, tensor<f32>)"), "{text}");
}

#[test]
fn donation_is_checked() {
    let mut g = Graph::new();
    let x = g.parameter("weights", ElementType::F32, &[2]).unwrap();
    let y = g.negate(x).unwrap();
    let z = g.sum_all(y).unwrap();
    let program = g.program("p", &[y], &[(x, 0)]).unwrap();
    assert!(program.text.contains("%arg0: tensor<2xf32> {tf.aliasing_output = 0 : i32}"), "{}", program.text);
    assert_eq!(program.arguments.as_ref().unwrap()[0].name, "weights");
    assert_eq!(message(g.program("p", &[z], &[(x, 0)])), "program: weights (2xf32) is donated to result 0, which is not of its shape");
    assert_eq!(message(g.program("p", &[y], &[(y, 0)])), "program: what is donated is no parameter");
}

#[test]
fn a_product_of_bf16_is_f32_and_every_product_says_its_precision() {
    let mut g = Graph::new();
    let x = g.parameter("x", ElementType::Bf16, &[2, 4]).unwrap();
    let w = g.parameter("w", ElementType::Bf16, &[3, 4]).unwrap();
    let y = g.linear(x, w).unwrap();
    assert_eq!(g.shape(y), &Shape::new(ElementType::F32, &[2, 3]));
    let (wide, other) = (g.convert(x, ElementType::F32).unwrap(), g.convert(w, ElementType::F32).unwrap());
    let z = g.linear(wide, other).unwrap();
    let text = g.program("p", &[y, z], &[]).unwrap().text;
    assert_eq!(text.matches("#stablehlo<precision DEFAULT>").count(), 2, "{text}");
    assert_eq!(text.matches("#stablehlo<precision HIGHEST>").count(), 2, "{text}");
}

#[test]
fn names_and_strings_are_quoted_where_they_must_be() {
    let mut g = Graph::new();
    let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
    let call = CustomCall { target: "a\"b".into(), backend_config: "line\n\\ü".into(), api_version: 2, has_side_effect: false };
    let y = g.custom_call(call, &[x], vec![Shape::new(ElementType::F32, &[2])]).unwrap();
    let text = g.program("step 1", &y, &[]).unwrap().text;
    assert!(text.starts_with("module @\"step 1\" attributes"), "{text}");
    assert!(text.contains(r#"call_target_name = "a\22b""#) && text.contains(r#"backend_config = "line\0A\5C\C3\BC""#), "{text}");
}
