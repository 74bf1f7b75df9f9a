module @pad attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<2x3xf64>, %arg1: tensor<f64>) -> (tensor<f64>, tensor<2x3xf64>, tensor<f64>, tensor<5x7xf64>) {
    %0 = "stablehlo.pad"(%arg0, %arg1) <{edge_padding_high = array<i64: 0, 2>, edge_padding_low = array<i64: 1, 0>, interior_padding = array<i64: 2, 1>}> : (tensor<2x3xf64>, tensor<f64>) -> tensor<5x7xf64>
    %1 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %2 = "stablehlo.constant"() <{value = dense<[[-9.822857142857143e-1, 6.748571428571428e-1, 3.3199999999999985e-1, -1.0857142857142899e-2, -3.5371428571428565e-1, -6.965714285714286e-1, 9.605714285714286e-1], [6.177142857142857e-1, 2.748571428571427e-1, -6.800000000000006e-2, -4.108571428571428e-1, -7.537142857142858e-1, 9.034285714285715e-1, 5.605714285714285e-1], [2.1771428571428575e-1, -1.251428571428571e-1, -4.6799999999999997e-1, -8.108571428571428e-1, 8.462857142857143e-1, 5.034285714285713e-1, 1.605714285714286e-1], [-1.8228571428571427e-1, -5.251428571428571e-1, -8.68e-1, 7.891428571428571e-1, 4.462857142857142e-1, 1.0342857142857143e-1, -2.3942857142857144e-1], [-5.822857142857143e-1, -9.251428571428572e-1, 7.32e-1, 3.89142857142857e-1, 4.628571428571426e-2, -2.965714285714286e-1, -6.394285714285715e-1]]> : tensor<5x7xf64>}> : () -> tensor<5x7xf64>
    %3 = "stablehlo.multiply"(%0, %2) : (tensor<5x7xf64>, tensor<5x7xf64>) -> tensor<5x7xf64>
    %4 = "stablehlo.reduce"(%3, %1) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%5: tensor<f64>, %6: tensor<f64>):
        %7 = "stablehlo.add"(%5, %6) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%7) : (tensor<f64>) -> ()
    }) : (tensor<5x7xf64>, tensor<f64>) -> tensor<f64>
    %8 = "stablehlo.add"(%1, %4) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %9 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %10 = "stablehlo.broadcast_in_dim"(%9) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<5x7xf64>
    %11 = "stablehlo.multiply"(%10, %2) : (tensor<5x7xf64>, tensor<5x7xf64>) -> tensor<5x7xf64>
    %12 = "stablehlo.slice"(%11) <{limit_indices = array<i64: 5, 5>, start_indices = array<i64: 1, 0>, strides = array<i64: 3, 2>}> : (tensor<5x7xf64>) -> tensor<2x3xf64>
    %13 = "stablehlo.reduce"(%11, %1) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%14: tensor<f64>, %15: tensor<f64>):
        %16 = "stablehlo.add"(%14, %15) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%16) : (tensor<f64>) -> ()
    }) : (tensor<5x7xf64>, tensor<f64>) -> tensor<f64>
    %17 = "stablehlo.reduce"(%12, %1) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%18: tensor<f64>, %19: tensor<f64>):
        %20 = "stablehlo.add"(%18, %19) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%20) : (tensor<f64>) -> ()
    }) : (tensor<2x3xf64>, tensor<f64>) -> tensor<f64>
    %21 = "stablehlo.subtract"(%13, %17) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    "func.return"(%8, %12, %21, %0) : (tensor<f64>, tensor<2x3xf64>, tensor<f64>, tensor<5x7xf64>) -> ()
  }
}
