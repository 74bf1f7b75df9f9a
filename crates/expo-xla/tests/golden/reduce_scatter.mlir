module @reduce_scatter attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 4 : i32} {
  func.func public @main(%arg0: tensor<2x4xf64>) -> (tensor<f64>, tensor<2x4xf64>, tensor<2x1xf64>) {
    %0 = "stablehlo.reduce_scatter"(%arg0) <{replica_groups = dense<[[0, 1, 2, 3]]> : tensor<1x4xi64>, scatter_dimension = 1 : i64}> ({
      ^bb0(%1: tensor<f64>, %2: tensor<f64>):
        %3 = "stablehlo.add"(%1, %2) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%3) : (tensor<f64>) -> ()
    }) : (tensor<2x4xf64>) -> tensor<2x1xf64>
    %4 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %5 = "stablehlo.constant"() <{value = dense<[[-6.9e-1], [3.1000000000000005e-1]]> : tensor<2x1xf64>}> : () -> tensor<2x1xf64>
    %6 = "stablehlo.multiply"(%0, %5) : (tensor<2x1xf64>, tensor<2x1xf64>) -> tensor<2x1xf64>
    %7 = "stablehlo.reduce"(%6, %4) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%8: tensor<f64>, %9: tensor<f64>):
        %10 = "stablehlo.add"(%8, %9) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%10) : (tensor<f64>) -> ()
    }) : (tensor<2x1xf64>, tensor<f64>) -> tensor<f64>
    %11 = "stablehlo.add"(%4, %7) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %12 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %13 = "stablehlo.broadcast_in_dim"(%12) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x1xf64>
    %14 = "stablehlo.multiply"(%13, %5) : (tensor<2x1xf64>, tensor<2x1xf64>) -> tensor<2x1xf64>
    %15 = "stablehlo.all_gather"(%14) <{all_gather_dim = 1 : i64, replica_groups = dense<[[0, 1, 2, 3]]> : tensor<1x4xi64>}> : (tensor<2x1xf64>) -> tensor<2x4xf64>
    "func.return"(%11, %15, %0) : (tensor<f64>, tensor<2x4xf64>, tensor<2x1xf64>) -> ()
  }
}
