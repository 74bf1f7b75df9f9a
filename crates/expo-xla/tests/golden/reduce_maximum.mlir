module @reduce_maximum attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<2x3x4xf64>) -> (tensor<f64>, tensor<2x3x4xf64>, tensor<3xf64>) {
    %0 = "stablehlo.constant"() <{value = dense<0xFFF0000000000000> : tensor<f64>}> : () -> tensor<f64>
    %1 = "stablehlo.reduce"(%arg0, %0) <{dimensions = array<i64: 0, 2>}> ({
      ^bb0(%2: tensor<f64>, %3: tensor<f64>):
        %4 = "stablehlo.maximum"(%2, %3) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%4) : (tensor<f64>) -> ()
    }) : (tensor<2x3x4xf64>, tensor<f64>) -> tensor<3xf64>
    %5 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %6 = "stablehlo.constant"() <{value = dense<[-7.933333333333333e-1, 5.4e-1, -1.266666666666666e-1]> : tensor<3xf64>}> : () -> tensor<3xf64>
    %7 = "stablehlo.multiply"(%1, %6) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
    %8 = "stablehlo.reduce"(%7, %5) <{dimensions = array<i64: 0>}> ({
      ^bb0(%9: tensor<f64>, %10: tensor<f64>):
        %11 = "stablehlo.add"(%9, %10) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%11) : (tensor<f64>) -> ()
    }) : (tensor<3xf64>, tensor<f64>) -> tensor<f64>
    %12 = "stablehlo.add"(%5, %8) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %13 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %14 = "stablehlo.broadcast_in_dim"(%13) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3xf64>
    %15 = "stablehlo.multiply"(%14, %6) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
    %16 = "stablehlo.broadcast_in_dim"(%15) <{broadcast_dimensions = array<i64: 1>}> : (tensor<3xf64>) -> tensor<2x3x4xf64>
    %17 = "stablehlo.reduce"(%arg0, %0) <{dimensions = array<i64: 0, 2>}> ({
      ^bb0(%18: tensor<f64>, %19: tensor<f64>):
        %20 = "stablehlo.maximum"(%18, %19) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%20) : (tensor<f64>) -> ()
    }) : (tensor<2x3x4xf64>, tensor<f64>) -> tensor<3xf64>
    %21 = "stablehlo.broadcast_in_dim"(%17) <{broadcast_dimensions = array<i64: 1>}> : (tensor<3xf64>) -> tensor<2x3x4xf64>
    %22 = "stablehlo.compare"(%arg0, %21) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x3x4xf64>, tensor<2x3x4xf64>) -> tensor<2x3x4xi1>
    %23 = "stablehlo.convert"(%22) : (tensor<2x3x4xi1>) -> tensor<2x3x4xf64>
    %24 = "stablehlo.reduce"(%23, %5) <{dimensions = array<i64: 0, 2>}> ({
      ^bb0(%25: tensor<f64>, %26: tensor<f64>):
        %27 = "stablehlo.add"(%25, %26) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%27) : (tensor<f64>) -> ()
    }) : (tensor<2x3x4xf64>, tensor<f64>) -> tensor<3xf64>
    %28 = "stablehlo.broadcast_in_dim"(%24) <{broadcast_dimensions = array<i64: 1>}> : (tensor<3xf64>) -> tensor<2x3x4xf64>
    %29 = "stablehlo.divide"(%16, %28) : (tensor<2x3x4xf64>, tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
    %30 = "stablehlo.multiply"(%29, %23) : (tensor<2x3x4xf64>, tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
    "func.return"(%12, %30, %1) : (tensor<f64>, tensor<2x3x4xf64>, tensor<3xf64>) -> ()
  }
}
