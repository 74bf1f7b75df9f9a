module @gather attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<4x3xf64>) -> (tensor<f64>, tensor<4x3xf64>, tensor<5x3xf64>) {
    %0 = "stablehlo.constant"() <{value = dense<[2, 0, 2, -5, 9]> : tensor<5xi32>}> : () -> tensor<5xi32>
    %1 = "stablehlo.gather"(%arg0, %0) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<4x3xf64>, tensor<5xi32>) -> tensor<5x3xf64>
    %2 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %3 = "stablehlo.constant"() <{value = dense<[[-9.586666666666667e-1, -2.533333333333343e-2, 9.080000000000001e-1], [-1.5866666666666673e-1, 7.746666666666668e-1, -2.9200000000000004e-1], [6.413333333333333e-1, -4.2533333333333334e-1, 5.08e-1], [-5.586666666666666e-1, 3.746666666666667e-1, -6.92e-1], [2.413333333333334e-1, -8.253333333333334e-1, 1.080000000000001e-1]]> : tensor<5x3xf64>}> : () -> tensor<5x3xf64>
    %4 = "stablehlo.multiply"(%1, %3) : (tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
    %5 = "stablehlo.reduce"(%4, %2) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%6: tensor<f64>, %7: tensor<f64>):
        %8 = "stablehlo.add"(%6, %7) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%8) : (tensor<f64>) -> ()
    }) : (tensor<5x3xf64>, tensor<f64>) -> tensor<f64>
    %9 = "stablehlo.add"(%2, %5) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %10 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %11 = "stablehlo.broadcast_in_dim"(%10) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<5x3xf64>
    %12 = "stablehlo.multiply"(%11, %3) : (tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
    %13 = "stablehlo.broadcast_in_dim"(%2) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<4x3xf64>
    %14 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    %15 = "stablehlo.broadcast_in_dim"(%14) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<5xi32>
    %16 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
    %17 = "stablehlo.broadcast_in_dim"(%16) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<5xi32>
    %18 = "stablehlo.maximum"(%0, %15) : (tensor<5xi32>, tensor<5xi32>) -> tensor<5xi32>
    %19 = "stablehlo.minimum"(%18, %17) : (tensor<5xi32>, tensor<5xi32>) -> tensor<5xi32>
    %20 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<5xi32>
    %21:2 = "stablehlo.sort"(%19, %20) <{dimension = 0 : i64, is_stable = true}> ({
      ^bb0(%22: tensor<i32>, %23: tensor<i32>, %24: tensor<i32>, %25: tensor<i32>):
        %26 = "stablehlo.compare"(%22, %23) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%26) : (tensor<i1>) -> ()
    }) : (tensor<5xi32>, tensor<5xi32>) -> (tensor<5xi32>, tensor<5xi32>)
    %27 = "stablehlo.gather"(%12, %21#1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<5x3xf64>, tensor<5xi32>) -> tensor<5x3xf64>
    %28 = "stablehlo.constant"() <{value = dense<-1> : tensor<i32>}> : () -> tensor<i32>
    %29 = "stablehlo.pad"(%21#0, %28) <{edge_padding_high = array<i64: 5>, edge_padding_low = array<i64: 0>, interior_padding = array<i64: 0>}> : (tensor<5xi32>, tensor<i32>) -> tensor<10xi32>
    %30 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
    %31:5 = "stablehlo.while"(%14, %30, %27, %29, %21#0) ({
      ^bb0(%32: tensor<i32>, %33: tensor<i32>, %34: tensor<5x3xf64>, %35: tensor<10xi32>, %36: tensor<5xi32>):
        %37 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
        %38 = "stablehlo.compare"(%32, %37) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%38) : (tensor<i1>) -> ()
    }, {
      ^bb0(%39: tensor<i32>, %40: tensor<i32>, %41: tensor<5x3xf64>, %42: tensor<10xi32>, %43: tensor<5xi32>):
        %44 = "stablehlo.dynamic_slice"(%42, %40) <{slice_sizes = array<i64: 5>}> : (tensor<10xi32>, tensor<i32>) -> tensor<5xi32>
        %45 = "stablehlo.compare"(%43, %44) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<5xi32>, tensor<5xi32>) -> tensor<5xi1>
        %46 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
        %47 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
        %48 = "stablehlo.pad"(%41, %47) <{edge_padding_high = array<i64: 5, 0>, edge_padding_low = array<i64: 0, 0>, interior_padding = array<i64: 0, 0>}> : (tensor<5x3xf64>, tensor<f64>) -> tensor<10x3xf64>
        %49 = "stablehlo.dynamic_slice"(%48, %40, %46) <{slice_sizes = array<i64: 5, 3>}> : (tensor<10x3xf64>, tensor<i32>, tensor<i32>) -> tensor<5x3xf64>
        %50 = "stablehlo.broadcast_in_dim"(%47) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<5x3xf64>
        %51 = "stablehlo.broadcast_in_dim"(%45) <{broadcast_dimensions = array<i64: 0>}> : (tensor<5xi1>) -> tensor<5x3xi1>
        %52 = "stablehlo.select"(%51, %49, %50) : (tensor<5x3xi1>, tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
        %53 = "stablehlo.add"(%40, %40) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        %54 = "stablehlo.add"(%41, %52) : (tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
        %55 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
        %56 = "stablehlo.add"(%39, %55) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%56, %53, %54, %42, %43) : (tensor<i32>, tensor<i32>, tensor<5x3xf64>, tensor<10xi32>, tensor<5xi32>) -> ()
    }) : (tensor<i32>, tensor<i32>, tensor<5x3xf64>, tensor<10xi32>, tensor<5xi32>) -> (tensor<i32>, tensor<i32>, tensor<5x3xf64>, tensor<10xi32>, tensor<5xi32>)
    %57 = "stablehlo.slice"(%29) <{limit_indices = array<i64: 4>, start_indices = array<i64: 0>, strides = array<i64: 1>}> : (tensor<10xi32>) -> tensor<4xi32>
    %58 = "stablehlo.broadcast_in_dim"(%28) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<1xi32>
    %59 = "stablehlo.concatenate"(%58, %57) <{dimension = 0 : i64}> : (tensor<1xi32>, tensor<4xi32>) -> tensor<5xi32>
    %60 = "stablehlo.compare"(%21#0, %59) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<5xi32>, tensor<5xi32>) -> tensor<5xi1>
    %61 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<5xi32>
    %62 = "stablehlo.constant"() <{value = dense<4> : tensor<i32>}> : () -> tensor<i32>
    %63 = "stablehlo.broadcast_in_dim"(%62) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<5xi32>
    %64 = "stablehlo.add"(%61, %63) : (tensor<5xi32>, tensor<5xi32>) -> tensor<5xi32>
    %65 = "stablehlo.select"(%60, %21#0, %64) : (tensor<5xi1>, tensor<5xi32>, tensor<5xi32>) -> tensor<5xi32>
    %66 = "stablehlo.scatter"(%13, %65, %31#2) <{indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = true}> ({
      ^bb0(%67: tensor<f64>, %68: tensor<f64>):
        "stablehlo.return"(%68) : (tensor<f64>) -> ()
    }) : (tensor<4x3xf64>, tensor<5xi32>, tensor<5x3xf64>) -> tensor<4x3xf64>
    "func.return"(%9, %66, %1) : (tensor<f64>, tensor<4x3xf64>, tensor<5x3xf64>) -> ()
  }
}
