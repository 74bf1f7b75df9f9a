module @while attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3xf64>, %arg1: tensor<3xf64>) -> (tensor<f64>, tensor<3xf64>) {
    %0 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    %1:3 = "stablehlo.while"(%0, %arg0, %arg1) ({
      ^bb0(%2: tensor<i32>, %3: tensor<3xf64>, %4: tensor<3xf64>):
        %5 = "stablehlo.constant"() <{value = dense<4> : tensor<i32>}> : () -> tensor<i32>
        %6 = "stablehlo.compare"(%2, %5) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%6) : (tensor<i1>) -> ()
    }, {
      ^bb0(%7: tensor<i32>, %8: tensor<3xf64>, %9: tensor<3xf64>):
        %10 = "stablehlo.convert"(%7) : (tensor<i32>) -> tensor<f64>
        %11 = "stablehlo.broadcast_in_dim"(%10) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3xf64>
        %12 = "stablehlo.add"(%8, %11) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %13 = "stablehlo.multiply"(%12, %9) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %14 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
        %15 = "stablehlo.add"(%7, %14) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%15, %13, %9) : (tensor<i32>, tensor<3xf64>, tensor<3xf64>) -> ()
    }) : (tensor<i32>, tensor<3xf64>, tensor<3xf64>) -> (tensor<i32>, tensor<3xf64>, tensor<3xf64>)
    %16 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %17 = "stablehlo.constant"() <{value = dense<[-7.933333333333333e-1, 5.4e-1, -1.266666666666666e-1]> : tensor<3xf64>}> : () -> tensor<3xf64>
    %18 = "stablehlo.multiply"(%1#1, %17) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
    %19 = "stablehlo.reduce"(%18, %16) <{dimensions = array<i64: 0>}> ({
      ^bb0(%20: tensor<f64>, %21: tensor<f64>):
        %22 = "stablehlo.add"(%20, %21) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%22) : (tensor<f64>) -> ()
    }) : (tensor<3xf64>, tensor<f64>) -> tensor<f64>
    %23 = "stablehlo.add"(%16, %19) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    "func.return"(%23, %1#1) : (tensor<f64>, tensor<3xf64>) -> ()
  }
}
