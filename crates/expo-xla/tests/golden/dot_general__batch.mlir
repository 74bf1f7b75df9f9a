module @dot_general__batch attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<2x3x4xf64>, %arg1: tensor<2x5x4xf64>) -> (tensor<f64>, tensor<2x3x4xf64>, tensor<2x5x4xf64>, tensor<2x3x5xf64>) {
    %0 = "stablehlo.dot_general"(%arg0, %arg1) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x3x4xf64>, tensor<2x5x4xf64>) -> tensor<2x3x5xf64>
    %1 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %2 = "stablehlo.constant"() <{value = dense<[[[-9.793333333333334e-1, -1.1266666666666658e-1, 7.54e-1, -3.793333333333333e-1, 4.873333333333332e-1], [-6.46e-1, 2.2066666666666657e-1, -9.126666666666666e-1, -4.599999999999993e-2, 8.206666666666667e-1], [-3.1266666666666665e-1, 5.539999999999998e-1, -5.793333333333334e-1, 2.873333333333332e-1, -8.46e-1]], [[2.066666666666661e-2, 8.873333333333333e-1, -2.46e-1, 6.206666666666665e-1, -5.126666666666667e-1], [3.5399999999999987e-1, -7.793333333333333e-1, 8.733333333333326e-2, 9.54e-1, -1.7933333333333334e-1], [6.873333333333334e-1, -4.4599999999999995e-1, 4.206666666666665e-1, -7.126666666666667e-1, 1.5399999999999991e-1]]]> : tensor<2x3x5xf64>}> : () -> tensor<2x3x5xf64>
    %3 = "stablehlo.multiply"(%0, %2) : (tensor<2x3x5xf64>, tensor<2x3x5xf64>) -> tensor<2x3x5xf64>
    %4 = "stablehlo.reduce"(%3, %1) <{dimensions = array<i64: 0, 1, 2>}> ({
      ^bb0(%5: tensor<f64>, %6: tensor<f64>):
        %7 = "stablehlo.add"(%5, %6) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%7) : (tensor<f64>) -> ()
    }) : (tensor<2x3x5xf64>, tensor<f64>) -> tensor<f64>
    %8 = "stablehlo.add"(%1, %4) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %9 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %10 = "stablehlo.broadcast_in_dim"(%9) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x3x5xf64>
    %11 = "stablehlo.multiply"(%10, %2) : (tensor<2x3x5xf64>, tensor<2x3x5xf64>) -> tensor<2x3x5xf64>
    %12 = "stablehlo.dot_general"(%11, %arg1) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x3x5xf64>, tensor<2x5x4xf64>) -> tensor<2x3x4xf64>
    %13 = "stablehlo.dot_general"(%11, %arg0) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x3x5xf64>, tensor<2x3x4xf64>) -> tensor<2x5x4xf64>
    "func.return"(%8, %12, %13, %0) : (tensor<f64>, tensor<2x3x4xf64>, tensor<2x5x4xf64>, tensor<2x3x5xf64>) -> ()
  }
}
