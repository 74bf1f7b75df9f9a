module @slice attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<7x4xf64>) -> (tensor<f64>, tensor<7x4xf64>, tensor<2x2xf64>) {
    %0 = "stablehlo.slice"(%arg0) <{limit_indices = array<i64: 6, 3>, start_indices = array<i64: 1, 0>, strides = array<i64: 3, 2>}> : (tensor<7x4xf64>) -> tensor<2x2xf64>
    %1 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %2 = "stablehlo.constant"() <{value = dense<[[-8.45e-1, -3.45e-1], [1.5500000000000003e-1, 6.55e-1]]> : tensor<2x2xf64>}> : () -> tensor<2x2xf64>
    %3 = "stablehlo.multiply"(%0, %2) : (tensor<2x2xf64>, tensor<2x2xf64>) -> tensor<2x2xf64>
    %4 = "stablehlo.reduce"(%3, %1) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%5: tensor<f64>, %6: tensor<f64>):
        %7 = "stablehlo.add"(%5, %6) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%7) : (tensor<f64>) -> ()
    }) : (tensor<2x2xf64>, tensor<f64>) -> tensor<f64>
    %8 = "stablehlo.add"(%1, %4) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %9 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %10 = "stablehlo.broadcast_in_dim"(%9) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x2xf64>
    %11 = "stablehlo.multiply"(%10, %2) : (tensor<2x2xf64>, tensor<2x2xf64>) -> tensor<2x2xf64>
    %12 = "stablehlo.pad"(%11, %1) <{edge_padding_high = array<i64: 2, 1>, edge_padding_low = array<i64: 1, 0>, interior_padding = array<i64: 2, 1>}> : (tensor<2x2xf64>, tensor<f64>) -> tensor<7x4xf64>
    "func.return"(%8, %12, %0) : (tensor<f64>, tensor<7x4xf64>, tensor<2x2xf64>) -> ()
  }
}
