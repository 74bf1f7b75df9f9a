module @sort attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6xf64>) -> (tensor<f64>, tensor<6xf64>) {
    %0 = "stablehlo.constant"() <{value = dense<[3, 1, 3, 0, 1, 3]> : tensor<6xi32>}> : () -> tensor<6xi32>
    %1:2 = "stablehlo.sort"(%0, %arg0) <{dimension = 0 : i64, is_stable = true}> ({
      ^bb0(%2: tensor<i32>, %3: tensor<i32>, %4: tensor<f64>, %5: tensor<f64>):
        %6 = "stablehlo.compare"(%2, %3) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%6) : (tensor<i1>) -> ()
    }) : (tensor<6xi32>, tensor<6xf64>) -> (tensor<6xi32>, tensor<6xf64>)
    %7 = "stablehlo.convert"(%1#0) : (tensor<6xi32>) -> tensor<6xf64>
    %8 = "stablehlo.add"(%7, %1#1) : (tensor<6xf64>, tensor<6xf64>) -> tensor<6xf64>
    %9 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %10 = "stablehlo.constant"() <{value = dense<[-8.966666666666667e-1, 7.699999999999998e-1, 4.3666666666666654e-1, 1.0333333333333328e-1, -2.2999999999999998e-1, -5.633333333333332e-1]> : tensor<6xf64>}> : () -> tensor<6xf64>
    %11 = "stablehlo.multiply"(%8, %10) : (tensor<6xf64>, tensor<6xf64>) -> tensor<6xf64>
    %12 = "stablehlo.reduce"(%11, %9) <{dimensions = array<i64: 0>}> ({
      ^bb0(%13: tensor<f64>, %14: tensor<f64>):
        %15 = "stablehlo.add"(%13, %14) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%15) : (tensor<f64>) -> ()
    }) : (tensor<6xf64>, tensor<f64>) -> tensor<f64>
    %16 = "stablehlo.add"(%9, %12) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    "func.return"(%16, %8) : (tensor<f64>, tensor<6xf64>) -> ()
  }
}
