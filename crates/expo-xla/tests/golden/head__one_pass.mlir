module @head__one_pass attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<7x3xf64>, %arg1: tensor<5x3xf64>) -> (tensor<f64>, tensor<7x3xf64>, tensor<5x3xf64>, tensor<f64>) {
    %0 = "stablehlo.constant"() <{value = dense<[0, 4, 2, 2, 1, 3, 0]> : tensor<7xi32>}> : () -> tensor<7xi32>
    %1 = "stablehlo.constant"() <{value = dense<[1.0e0, 7.0e-1, 1.0e0, 1.3e0, 1.0e0, 2.0e0, 1.0e0]> : tensor<7xf64>}> : () -> tensor<7xf64>
    %2 = "stablehlo.constant"() <{value = dense<[3.0e-1, -1.0e0, 5.0e-1, 2.0e0, 1.0e0, 2.5e-1, -5.0e-1]> : tensor<7xf64>}> : () -> tensor<7xf64>
    %3 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %4 = "stablehlo.pad"(%arg0, %3) <{edge_padding_high = array<i64: 2, 0>, edge_padding_low = array<i64: 0, 0>, interior_padding = array<i64: 0, 0>}> : (tensor<7x3xf64>, tensor<f64>) -> tensor<9x3xf64>
    %5 = "stablehlo.reshape"(%4) : (tensor<9x3xf64>) -> tensor<3x3x3xf64>
    %6 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    %7 = "stablehlo.pad"(%0, %6) <{edge_padding_high = array<i64: 2>, edge_padding_low = array<i64: 0>, interior_padding = array<i64: 0>}> : (tensor<7xi32>, tensor<i32>) -> tensor<9xi32>
    %8 = "stablehlo.reshape"(%7) : (tensor<9xi32>) -> tensor<3x3xi32>
    %9 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %10 = "stablehlo.pad"(%1, %9) <{edge_padding_high = array<i64: 2>, edge_padding_low = array<i64: 0>, interior_padding = array<i64: 0>}> : (tensor<7xf64>, tensor<f64>) -> tensor<9xf64>
    %11 = "stablehlo.reshape"(%10) : (tensor<9xf64>) -> tensor<3x3xf64>
    %12 = "stablehlo.pad"(%2, %3) <{edge_padding_high = array<i64: 2>, edge_padding_low = array<i64: 0>, interior_padding = array<i64: 0>}> : (tensor<7xf64>, tensor<f64>) -> tensor<9xf64>
    %13 = "stablehlo.reshape"(%12) : (tensor<9xf64>) -> tensor<3x3xf64>
    %14 = "stablehlo.broadcast_in_dim"(%3) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x3xf64>
    %15 = "stablehlo.broadcast_in_dim"(%3) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x3x3xf64>
    %16 = "stablehlo.broadcast_in_dim"(%3) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<5x3xf64>
    %17:11 = "stablehlo.while"(%6, %15, %16, %3, %14, %14, %5, %8, %11, %arg1, %13) ({
      ^bb0(%18: tensor<i32>, %19: tensor<3x3x3xf64>, %20: tensor<5x3xf64>, %21: tensor<f64>, %22: tensor<3x3xf64>, %23: tensor<3x3xf64>, %24: tensor<3x3x3xf64>, %25: tensor<3x3xi32>, %26: tensor<3x3xf64>, %27: tensor<5x3xf64>, %28: tensor<3x3xf64>):
        %29 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
        %30 = "stablehlo.compare"(%18, %29) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%30) : (tensor<i1>) -> ()
    }, {
      ^bb0(%31: tensor<i32>, %32: tensor<3x3x3xf64>, %33: tensor<5x3xf64>, %34: tensor<f64>, %35: tensor<3x3xf64>, %36: tensor<3x3xf64>, %37: tensor<3x3x3xf64>, %38: tensor<3x3xi32>, %39: tensor<3x3xf64>, %40: tensor<5x3xf64>, %41: tensor<3x3xf64>):
        %42 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
        %43 = "stablehlo.dynamic_slice"(%37, %31, %42, %42) <{slice_sizes = array<i64: 1, 3, 3>}> : (tensor<3x3x3xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x3x3xf64>
        %44 = "stablehlo.reshape"(%43) : (tensor<1x3x3xf64>) -> tensor<3x3xf64>
        %45 = "stablehlo.dynamic_slice"(%38, %31, %42) <{slice_sizes = array<i64: 1, 3>}> : (tensor<3x3xi32>, tensor<i32>, tensor<i32>) -> tensor<1x3xi32>
        %46 = "stablehlo.reshape"(%45) : (tensor<1x3xi32>) -> tensor<3xi32>
        %47 = "stablehlo.dynamic_slice"(%39, %31, %42) <{slice_sizes = array<i64: 1, 3>}> : (tensor<3x3xf64>, tensor<i32>, tensor<i32>) -> tensor<1x3xf64>
        %48 = "stablehlo.reshape"(%47) : (tensor<1x3xf64>) -> tensor<3xf64>
        %49 = "stablehlo.dot_general"(%44, %40) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<3x3xf64>, tensor<5x3xf64>) -> tensor<3x5xf64>
        %50 = "stablehlo.broadcast_in_dim"(%48) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %51 = "stablehlo.divide"(%49, %50) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %52 = "stablehlo.constant"() <{value = dense<0xFFF0000000000000> : tensor<f64>}> : () -> tensor<f64>
        %53 = "stablehlo.reduce"(%51, %52) <{dimensions = array<i64: 1>}> ({
          ^bb0(%54: tensor<f64>, %55: tensor<f64>):
            %56 = "stablehlo.maximum"(%54, %55) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%56) : (tensor<f64>) -> ()
        }) : (tensor<3x5xf64>, tensor<f64>) -> tensor<3xf64>
        %57 = "stablehlo.broadcast_in_dim"(%53) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %58 = "stablehlo.subtract"(%51, %57) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %59 = "stablehlo.exponential"(%58) : (tensor<3x5xf64>) -> tensor<3x5xf64>
        %60 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
        %61 = "stablehlo.reduce"(%59, %60) <{dimensions = array<i64: 1>}> ({
          ^bb0(%62: tensor<f64>, %63: tensor<f64>):
            %64 = "stablehlo.add"(%62, %63) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%64) : (tensor<f64>) -> ()
        }) : (tensor<3x5xf64>, tensor<f64>) -> tensor<3xf64>
        %65 = "stablehlo.log"(%61) : (tensor<3xf64>) -> tensor<3xf64>
        %66 = "stablehlo.multiply"(%59, %58) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %67 = "stablehlo.broadcast_in_dim"(%60) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x5xf64>
        %68 = "stablehlo.compare"(%59, %67) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xi1>
        %69 = "stablehlo.select"(%68, %66, %67) : (tensor<3x5xi1>, tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %70 = "stablehlo.reduce"(%69, %60) <{dimensions = array<i64: 1>}> ({
          ^bb0(%71: tensor<f64>, %72: tensor<f64>):
            %73 = "stablehlo.add"(%71, %72) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%73) : (tensor<f64>) -> ()
        }) : (tensor<3x5xf64>, tensor<f64>) -> tensor<3xf64>
        %74 = "stablehlo.divide"(%70, %61) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %75 = "stablehlo.subtract"(%65, %74) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %76 = "stablehlo.broadcast_in_dim"(%65) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %77 = "stablehlo.subtract"(%58, %76) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %78 = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<3x5xi32>
        %79 = "stablehlo.broadcast_in_dim"(%46) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xi32>) -> tensor<3x5xi32>
        %80 = "stablehlo.compare"(%78, %79) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<3x5xi32>, tensor<3x5xi32>) -> tensor<3x5xi1>
        %81 = "stablehlo.select"(%80, %77, %67) : (tensor<3x5xi1>, tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %82 = "stablehlo.reduce"(%81, %60) <{dimensions = array<i64: 1>}> ({
          ^bb0(%83: tensor<f64>, %84: tensor<f64>):
            %85 = "stablehlo.add"(%83, %84) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%85) : (tensor<f64>) -> ()
        }) : (tensor<3x5xf64>, tensor<f64>) -> tensor<3xf64>
        %86 = "stablehlo.dynamic_slice"(%41, %31, %42) <{slice_sizes = array<i64: 1, 3>}> : (tensor<3x3xf64>, tensor<i32>, tensor<i32>) -> tensor<1x3xf64>
        %87 = "stablehlo.reshape"(%86) : (tensor<1x3xf64>) -> tensor<3xf64>
        %88 = "stablehlo.exponential"(%82) : (tensor<3xf64>) -> tensor<3xf64>
        %89 = "stablehlo.multiply"(%88, %87) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %90 = "stablehlo.multiply"(%75, %75) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %91 = "stablehlo.add"(%89, %90) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %92 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
        %93 = "stablehlo.multiply"(%31, %92) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        %94 = "stablehlo.broadcast_in_dim"(%93) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<3xi32>
        %95 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<3xi32>
        %96 = "stablehlo.add"(%95, %94) : (tensor<3xi32>, tensor<3xi32>) -> tensor<3xi32>
        %97 = "stablehlo.constant"() <{value = dense<7> : tensor<i32>}> : () -> tensor<i32>
        %98 = "stablehlo.broadcast_in_dim"(%97) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<3xi32>
        %99 = "stablehlo.compare"(%96, %98) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<3xi32>, tensor<3xi32>) -> tensor<3xi1>
        %100 = "stablehlo.broadcast_in_dim"(%60) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3xf64>
        %101 = "stablehlo.select"(%99, %91, %100) : (tensor<3xi1>, tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %102 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
        %103 = "stablehlo.broadcast_in_dim"(%102) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3xf64>
        %104 = "stablehlo.broadcast_in_dim"(%60) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3xf64>
        %105 = "stablehlo.select"(%99, %103, %104) : (tensor<3xi1>, tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %106 = "stablehlo.multiply"(%105, %75) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %107 = "stablehlo.multiply"(%105, %75) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %108 = "stablehlo.add"(%106, %107) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %109 = "stablehlo.multiply"(%105, %87) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %110 = "stablehlo.multiply"(%109, %88) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %111 = "stablehlo.divide"(%110, %48) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %112 = "stablehlo.broadcast_in_dim"(%111) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %113 = "stablehlo.divide"(%108, %48) : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>
        %114 = "stablehlo.broadcast_in_dim"(%113) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %115 = "stablehlo.exponential"(%77) : (tensor<3x5xf64>) -> tensor<3x5xf64>
        %116 = "stablehlo.broadcast_in_dim"(%60) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x5xf64>
        %117 = "stablehlo.compare"(%115, %116) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xi1>
        %118 = "stablehlo.select"(%117, %77, %116) : (tensor<3x5xi1>, tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %119 = "stablehlo.broadcast_in_dim"(%75) <{broadcast_dimensions = array<i64: 0>}> : (tensor<3xf64>) -> tensor<3x5xf64>
        %120 = "stablehlo.add"(%118, %119) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %121 = "stablehlo.multiply"(%114, %120) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %122 = "stablehlo.add"(%121, %112) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %123 = "stablehlo.multiply"(%115, %122) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %124 = "stablehlo.select"(%80, %112, %116) : (tensor<3x5xi1>, tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %125 = "stablehlo.subtract"(%124, %123) : (tensor<3x5xf64>, tensor<3x5xf64>) -> tensor<3x5xf64>
        %126 = "stablehlo.dot_general"(%125, %40) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<3x5xf64>, tensor<5x3xf64>) -> tensor<3x3xf64>
        %127 = "stablehlo.reshape"(%126) : (tensor<3x3xf64>) -> tensor<1x3x3xf64>
        %128 = "stablehlo.dynamic_update_slice"(%32, %127, %31, %42, %42) : (tensor<3x3x3xf64>, tensor<1x3x3xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<3x3x3xf64>
        %129 = "stablehlo.dot_general"(%125, %44) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<3x5xf64>, tensor<3x3xf64>) -> tensor<5x3xf64>
        %130 = "stablehlo.add"(%33, %129) : (tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
        %131 = "stablehlo.reduce"(%101, %60) <{dimensions = array<i64: 0>}> ({
          ^bb0(%132: tensor<f64>, %133: tensor<f64>):
            %134 = "stablehlo.add"(%132, %133) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%134) : (tensor<f64>) -> ()
        }) : (tensor<3xf64>, tensor<f64>) -> tensor<f64>
        %135 = "stablehlo.add"(%34, %131) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        %136 = "stablehlo.reshape"(%82) : (tensor<3xf64>) -> tensor<1x3xf64>
        %137 = "stablehlo.dynamic_update_slice"(%35, %136, %31, %42) : (tensor<3x3xf64>, tensor<1x3xf64>, tensor<i32>, tensor<i32>) -> tensor<3x3xf64>
        %138 = "stablehlo.reshape"(%75) : (tensor<3xf64>) -> tensor<1x3xf64>
        %139 = "stablehlo.dynamic_update_slice"(%36, %138, %31, %42) : (tensor<3x3xf64>, tensor<1x3xf64>, tensor<i32>, tensor<i32>) -> tensor<3x3xf64>
        %140 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
        %141 = "stablehlo.add"(%31, %140) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%141, %128, %130, %135, %137, %139, %37, %38, %39, %40, %41) : (tensor<i32>, tensor<3x3x3xf64>, tensor<5x3xf64>, tensor<f64>, tensor<3x3xf64>, tensor<3x3xf64>, tensor<3x3x3xf64>, tensor<3x3xi32>, tensor<3x3xf64>, tensor<5x3xf64>, tensor<3x3xf64>) -> ()
    }) : (tensor<i32>, tensor<3x3x3xf64>, tensor<5x3xf64>, tensor<f64>, tensor<3x3xf64>, tensor<3x3xf64>, tensor<3x3x3xf64>, tensor<3x3xi32>, tensor<3x3xf64>, tensor<5x3xf64>, tensor<3x3xf64>) -> (tensor<i32>, tensor<3x3x3xf64>, tensor<5x3xf64>, tensor<f64>, tensor<3x3xf64>, tensor<3x3xf64>, tensor<3x3x3xf64>, tensor<3x3xi32>, tensor<3x3xf64>, tensor<5x3xf64>, tensor<3x3xf64>)
    %142 = "stablehlo.constant"() <{value = dense<-3.8e-1> : tensor<f64>}> : () -> tensor<f64>
    %143 = "stablehlo.multiply"(%17#3, %142) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %144 = "stablehlo.add"(%3, %143) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %145 = "stablehlo.multiply"(%9, %142) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %146 = "stablehlo.broadcast_in_dim"(%145) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x3x3xf64>
    %147 = "stablehlo.multiply"(%17#1, %146) : (tensor<3x3x3xf64>, tensor<3x3x3xf64>) -> tensor<3x3x3xf64>
    %148 = "stablehlo.broadcast_in_dim"(%145) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<5x3xf64>
    %149 = "stablehlo.multiply"(%17#2, %148) : (tensor<5x3xf64>, tensor<5x3xf64>) -> tensor<5x3xf64>
    %150 = "stablehlo.reshape"(%147) : (tensor<3x3x3xf64>) -> tensor<9x3xf64>
    %151 = "stablehlo.slice"(%150) <{limit_indices = array<i64: 7, 3>, start_indices = array<i64: 0, 0>, strides = array<i64: 1, 1>}> : (tensor<9x3xf64>) -> tensor<7x3xf64>
    "func.return"(%144, %151, %149, %17#3) : (tensor<f64>, tensor<7x3xf64>, tensor<5x3xf64>, tensor<f64>) -> ()
  }
}
