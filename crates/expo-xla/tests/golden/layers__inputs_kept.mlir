module @layers__inputs_kept attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<2x4xf64>, %arg1: tensor<3x4x4xf64>, %arg2: tensor<3x4xf64>, %arg3: tensor<4xf64>) -> (tensor<f64>, tensor<2x4xf64>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>, tensor<2x4xf64>) {
    %0 = "stablehlo.constant"() <{value = dense<[1, 0]> : tensor<2xi32>}> : () -> tensor<2xi32>
    %1 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
    %2 = "stablehlo.broadcast_in_dim"(%1) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x2x4xf64>
    %3 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    %4 = "stablehlo.broadcast_in_dim"(%3) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<3x2xi32>
    %5:8 = "stablehlo.while"(%3, %arg0, %0, %2, %4, %arg1, %arg2, %arg3) ({
      ^bb0(%6: tensor<i32>, %7: tensor<2x4xf64>, %8: tensor<2xi32>, %9: tensor<3x2x4xf64>, %10: tensor<3x2xi32>, %11: tensor<3x4x4xf64>, %12: tensor<3x4xf64>, %13: tensor<4xf64>):
        %14 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
        %15 = "stablehlo.compare"(%6, %14) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%15) : (tensor<i1>) -> ()
    }, {
      ^bb0(%16: tensor<i32>, %17: tensor<2x4xf64>, %18: tensor<2xi32>, %19: tensor<3x2x4xf64>, %20: tensor<3x2xi32>, %21: tensor<3x4x4xf64>, %22: tensor<3x4xf64>, %23: tensor<4xf64>):
        %24 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
        %25 = "stablehlo.dynamic_slice"(%21, %16, %24, %24) <{slice_sizes = array<i64: 1, 4, 4>}> : (tensor<3x4x4xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x4x4xf64>
        %26 = "stablehlo.reshape"(%25) : (tensor<1x4x4xf64>) -> tensor<4x4xf64>
        %27 = "stablehlo.dynamic_slice"(%22, %16, %24) <{slice_sizes = array<i64: 1, 4>}> : (tensor<3x4xf64>, tensor<i32>, tensor<i32>) -> tensor<1x4xf64>
        %28 = "stablehlo.reshape"(%27) : (tensor<1x4xf64>) -> tensor<4xf64>
        %29 = "stablehlo.dot_general"(%17, %26) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x4xf64>, tensor<4x4xf64>) -> tensor<2x4xf64>
        %30 = "stablehlo.tanh"(%29) : (tensor<2x4xf64>) -> tensor<2x4xf64>
        %31 = "stablehlo.multiply"(%28, %23) : (tensor<4xf64>, tensor<4xf64>) -> tensor<4xf64>
        %32 = "stablehlo.broadcast_in_dim"(%31) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf64>) -> tensor<2x4xf64>
        %33 = "stablehlo.multiply"(%30, %32) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %34 = "stablehlo.multiply"(%33, %33) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %35 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
        %36 = "stablehlo.reduce"(%34, %35) <{dimensions = array<i64: 1>}> ({
          ^bb0(%37: tensor<f64>, %38: tensor<f64>):
            %39 = "stablehlo.add"(%37, %38) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%39) : (tensor<f64>) -> ()
        }) : (tensor<2x4xf64>, tensor<f64>) -> tensor<2xf64>
        %40 = "stablehlo.constant"() <{value = dense<5.0e-1> : tensor<f64>}> : () -> tensor<f64>
        %41 = "stablehlo.broadcast_in_dim"(%40) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2xf64>
        %42 = "stablehlo.add"(%36, %41) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %43 = "stablehlo.rsqrt"(%42) : (tensor<2xf64>) -> tensor<2xf64>
        %44 = "stablehlo.broadcast_in_dim"(%43) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xf64>) -> tensor<2x4xf64>
        %45 = "stablehlo.multiply"(%33, %44) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %46 = "stablehlo.gather"(%45, %18) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4>}> : (tensor<2x4xf64>, tensor<2xi32>) -> tensor<2x4xf64>
        %47 = "stablehlo.add"(%17, %46) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %48 = "stablehlo.reshape"(%17) : (tensor<2x4xf64>) -> tensor<1x2x4xf64>
        %49 = "stablehlo.dynamic_update_slice"(%19, %48, %16, %24, %24) : (tensor<3x2x4xf64>, tensor<1x2x4xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<3x2x4xf64>
        %50 = "stablehlo.reshape"(%18) : (tensor<2xi32>) -> tensor<1x2xi32>
        %51 = "stablehlo.dynamic_update_slice"(%20, %50, %16, %24) : (tensor<3x2xi32>, tensor<1x2xi32>, tensor<i32>, tensor<i32>) -> tensor<3x2xi32>
        %52 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
        %53 = "stablehlo.add"(%16, %52) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%53, %47, %18, %49, %51, %21, %22, %23) : (tensor<i32>, tensor<2x4xf64>, tensor<2xi32>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>) -> ()
    }) : (tensor<i32>, tensor<2x4xf64>, tensor<2xi32>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>) -> (tensor<i32>, tensor<2x4xf64>, tensor<2xi32>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>)
    %54 = "stablehlo.constant"() <{value = dense<[[-9.225e-1, 8.274999999999999e-1, 5.774999999999999e-1, 3.274999999999999e-1], [7.74999999999999e-2, -1.725e-1, -4.225e-1, -6.725e-1]]> : tensor<2x4xf64>}> : () -> tensor<2x4xf64>
    %55 = "stablehlo.multiply"(%5#1, %54) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
    %56 = "stablehlo.reduce"(%55, %1) <{dimensions = array<i64: 0, 1>}> ({
      ^bb0(%57: tensor<f64>, %58: tensor<f64>):
        %59 = "stablehlo.add"(%57, %58) : (tensor<f64>, tensor<f64>) -> tensor<f64>
        "stablehlo.return"(%59) : (tensor<f64>) -> ()
    }) : (tensor<2x4xf64>, tensor<f64>) -> tensor<f64>
    %60 = "stablehlo.add"(%1, %56) : (tensor<f64>, tensor<f64>) -> tensor<f64>
    %61 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
    %62 = "stablehlo.broadcast_in_dim"(%61) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x4xf64>
    %63 = "stablehlo.multiply"(%62, %54) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
    %64 = "stablehlo.broadcast_in_dim"(%1) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x4x4xf64>
    %65 = "stablehlo.broadcast_in_dim"(%1) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<3x4xf64>
    %66 = "stablehlo.broadcast_in_dim"(%1) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<4xf64>
    %67:10 = "stablehlo.while"(%3, %63, %64, %65, %66, %5#3, %5#4, %arg1, %arg2, %arg3) ({
      ^bb0(%68: tensor<i32>, %69: tensor<2x4xf64>, %70: tensor<3x4x4xf64>, %71: tensor<3x4xf64>, %72: tensor<4xf64>, %73: tensor<3x2x4xf64>, %74: tensor<3x2xi32>, %75: tensor<3x4x4xf64>, %76: tensor<3x4xf64>, %77: tensor<4xf64>):
        %78 = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
        %79 = "stablehlo.compare"(%68, %78) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%79) : (tensor<i1>) -> ()
    }, {
      ^bb0(%80: tensor<i32>, %81: tensor<2x4xf64>, %82: tensor<3x4x4xf64>, %83: tensor<3x4xf64>, %84: tensor<4xf64>, %85: tensor<3x2x4xf64>, %86: tensor<3x2xi32>, %87: tensor<3x4x4xf64>, %88: tensor<3x4xf64>, %89: tensor<4xf64>):
        %90 = "stablehlo.constant"() <{value = dense<2> : tensor<i32>}> : () -> tensor<i32>
        %91 = "stablehlo.subtract"(%90, %80) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        %92 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
        %93 = "stablehlo.dynamic_slice"(%85, %91, %92, %92) <{slice_sizes = array<i64: 1, 2, 4>}> : (tensor<3x2x4xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x2x4xf64>
        %94 = "stablehlo.reshape"(%93) : (tensor<1x2x4xf64>) -> tensor<2x4xf64>
        %95 = "stablehlo.dynamic_slice"(%86, %91, %92) <{slice_sizes = array<i64: 1, 2>}> : (tensor<3x2xi32>, tensor<i32>, tensor<i32>) -> tensor<1x2xi32>
        %96 = "stablehlo.reshape"(%95) : (tensor<1x2xi32>) -> tensor<2xi32>
        %97:2 = "stablehlo.optimization_barrier"(%94, %96) : (tensor<2x4xf64>, tensor<2xi32>) -> (tensor<2x4xf64>, tensor<2xi32>)
        %98 = "stablehlo.dynamic_slice"(%87, %91, %92, %92) <{slice_sizes = array<i64: 1, 4, 4>}> : (tensor<3x4x4xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x4x4xf64>
        %99 = "stablehlo.reshape"(%98) : (tensor<1x4x4xf64>) -> tensor<4x4xf64>
        %100 = "stablehlo.dynamic_slice"(%88, %91, %92) <{slice_sizes = array<i64: 1, 4>}> : (tensor<3x4xf64>, tensor<i32>, tensor<i32>) -> tensor<1x4xf64>
        %101 = "stablehlo.reshape"(%100) : (tensor<1x4xf64>) -> tensor<4xf64>
        %102 = "stablehlo.dot_general"(%97#0, %99) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x4xf64>, tensor<4x4xf64>) -> tensor<2x4xf64>
        %103 = "stablehlo.tanh"(%102) : (tensor<2x4xf64>) -> tensor<2x4xf64>
        %104 = "stablehlo.multiply"(%101, %89) : (tensor<4xf64>, tensor<4xf64>) -> tensor<4xf64>
        %105 = "stablehlo.broadcast_in_dim"(%104) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf64>) -> tensor<2x4xf64>
        %106 = "stablehlo.multiply"(%103, %105) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %107 = "stablehlo.multiply"(%106, %106) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %108 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
        %109 = "stablehlo.reduce"(%107, %108) <{dimensions = array<i64: 1>}> ({
          ^bb0(%110: tensor<f64>, %111: tensor<f64>):
            %112 = "stablehlo.add"(%110, %111) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%112) : (tensor<f64>) -> ()
        }) : (tensor<2x4xf64>, tensor<f64>) -> tensor<2xf64>
        %113 = "stablehlo.constant"() <{value = dense<5.0e-1> : tensor<f64>}> : () -> tensor<f64>
        %114 = "stablehlo.broadcast_in_dim"(%113) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2xf64>
        %115 = "stablehlo.add"(%109, %114) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %116 = "stablehlo.rsqrt"(%115) : (tensor<2xf64>) -> tensor<2xf64>
        %117 = "stablehlo.broadcast_in_dim"(%116) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xf64>) -> tensor<2x4xf64>
        %118 = "stablehlo.broadcast_in_dim"(%108) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x4xf64>
        %119 = "stablehlo.broadcast_in_dim"(%92) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<2xi32>
        %120 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
        %121 = "stablehlo.broadcast_in_dim"(%120) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<2xi32>
        %122 = "stablehlo.maximum"(%97#1, %119) : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
        %123 = "stablehlo.minimum"(%122, %121) : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
        %124 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<2xi32>
        %125:2 = "stablehlo.sort"(%123, %124) <{dimension = 0 : i64, is_stable = true}> ({
          ^bb0(%126: tensor<i32>, %127: tensor<i32>, %128: tensor<i32>, %129: tensor<i32>):
            %130 = "stablehlo.compare"(%126, %127) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
            "stablehlo.return"(%130) : (tensor<i1>) -> ()
        }) : (tensor<2xi32>, tensor<2xi32>) -> (tensor<2xi32>, tensor<2xi32>)
        %131 = "stablehlo.gather"(%81, %125#1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4>}> : (tensor<2x4xf64>, tensor<2xi32>) -> tensor<2x4xf64>
        %132 = "stablehlo.constant"() <{value = dense<-1> : tensor<i32>}> : () -> tensor<i32>
        %133 = "stablehlo.pad"(%125#0, %132) <{edge_padding_high = array<i64: 2>, edge_padding_low = array<i64: 0>, interior_padding = array<i64: 0>}> : (tensor<2xi32>, tensor<i32>) -> tensor<4xi32>
        %134:5 = "stablehlo.while"(%92, %120, %131, %133, %125#0) ({
          ^bb0(%135: tensor<i32>, %136: tensor<i32>, %137: tensor<2x4xf64>, %138: tensor<4xi32>, %139: tensor<2xi32>):
            %140 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
            %141 = "stablehlo.compare"(%135, %140) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
            "stablehlo.return"(%141) : (tensor<i1>) -> ()
        }, {
          ^bb0(%142: tensor<i32>, %143: tensor<i32>, %144: tensor<2x4xf64>, %145: tensor<4xi32>, %146: tensor<2xi32>):
            %147 = "stablehlo.dynamic_slice"(%145, %143) <{slice_sizes = array<i64: 2>}> : (tensor<4xi32>, tensor<i32>) -> tensor<2xi32>
            %148 = "stablehlo.compare"(%146, %147) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1>
            %149 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
            %150 = "stablehlo.constant"() <{value = dense<0.0e0> : tensor<f64>}> : () -> tensor<f64>
            %151 = "stablehlo.pad"(%144, %150) <{edge_padding_high = array<i64: 2, 0>, edge_padding_low = array<i64: 0, 0>, interior_padding = array<i64: 0, 0>}> : (tensor<2x4xf64>, tensor<f64>) -> tensor<4x4xf64>
            %152 = "stablehlo.dynamic_slice"(%151, %143, %149) <{slice_sizes = array<i64: 2, 4>}> : (tensor<4x4xf64>, tensor<i32>, tensor<i32>) -> tensor<2x4xf64>
            %153 = "stablehlo.broadcast_in_dim"(%150) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x4xf64>
            %154 = "stablehlo.broadcast_in_dim"(%148) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi1>) -> tensor<2x4xi1>
            %155 = "stablehlo.select"(%154, %152, %153) : (tensor<2x4xi1>, tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
            %156 = "stablehlo.add"(%143, %143) : (tensor<i32>, tensor<i32>) -> tensor<i32>
            %157 = "stablehlo.add"(%144, %155) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
            %158 = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
            %159 = "stablehlo.add"(%142, %158) : (tensor<i32>, tensor<i32>) -> tensor<i32>
            "stablehlo.return"(%159, %156, %157, %145, %146) : (tensor<i32>, tensor<i32>, tensor<2x4xf64>, tensor<4xi32>, tensor<2xi32>) -> ()
        }) : (tensor<i32>, tensor<i32>, tensor<2x4xf64>, tensor<4xi32>, tensor<2xi32>) -> (tensor<i32>, tensor<i32>, tensor<2x4xf64>, tensor<4xi32>, tensor<2xi32>)
        %160 = "stablehlo.slice"(%133) <{limit_indices = array<i64: 1>, start_indices = array<i64: 0>, strides = array<i64: 1>}> : (tensor<4xi32>) -> tensor<1xi32>
        %161 = "stablehlo.broadcast_in_dim"(%132) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<1xi32>
        %162 = "stablehlo.concatenate"(%161, %160) <{dimension = 0 : i64}> : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
        %163 = "stablehlo.compare"(%125#0, %162) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1>
        %164 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<2xi32>
        %165 = "stablehlo.broadcast_in_dim"(%90) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<2xi32>
        %166 = "stablehlo.add"(%164, %165) : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
        %167 = "stablehlo.select"(%163, %125#0, %166) : (tensor<2xi1>, tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
        %168 = "stablehlo.scatter"(%118, %167, %134#2) <{indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = true}> ({
          ^bb0(%169: tensor<f64>, %170: tensor<f64>):
            "stablehlo.return"(%170) : (tensor<f64>) -> ()
        }) : (tensor<2x4xf64>, tensor<2xi32>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %171 = "stablehlo.multiply"(%168, %117) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %172 = "stablehlo.multiply"(%168, %106) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %173 = "stablehlo.reduce"(%172, %108) <{dimensions = array<i64: 1>}> ({
          ^bb0(%174: tensor<f64>, %175: tensor<f64>):
            %176 = "stablehlo.add"(%174, %175) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%176) : (tensor<f64>) -> ()
        }) : (tensor<2x4xf64>, tensor<f64>) -> tensor<2xf64>
        %177 = "stablehlo.multiply"(%116, %116) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %178 = "stablehlo.multiply"(%177, %116) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %179 = "stablehlo.constant"() <{value = dense<-5.0e-1> : tensor<f64>}> : () -> tensor<f64>
        %180 = "stablehlo.broadcast_in_dim"(%179) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2xf64>
        %181 = "stablehlo.multiply"(%178, %180) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %182 = "stablehlo.multiply"(%173, %181) : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
        %183 = "stablehlo.broadcast_in_dim"(%182) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xf64>) -> tensor<2x4xf64>
        %184 = "stablehlo.multiply"(%183, %106) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %185 = "stablehlo.multiply"(%183, %106) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %186 = "stablehlo.add"(%171, %184) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %187 = "stablehlo.add"(%186, %185) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %188 = "stablehlo.multiply"(%187, %105) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %189 = "stablehlo.multiply"(%187, %103) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %190 = "stablehlo.reduce"(%189, %108) <{dimensions = array<i64: 0>}> ({
          ^bb0(%191: tensor<f64>, %192: tensor<f64>):
            %193 = "stablehlo.add"(%191, %192) : (tensor<f64>, tensor<f64>) -> tensor<f64>
            "stablehlo.return"(%193) : (tensor<f64>) -> ()
        }) : (tensor<2x4xf64>, tensor<f64>) -> tensor<4xf64>
        %194 = "stablehlo.multiply"(%190, %89) : (tensor<4xf64>, tensor<4xf64>) -> tensor<4xf64>
        %195 = "stablehlo.multiply"(%190, %101) : (tensor<4xf64>, tensor<4xf64>) -> tensor<4xf64>
        %196 = "stablehlo.multiply"(%103, %103) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %197 = "stablehlo.constant"() <{value = dense<1.0e0> : tensor<f64>}> : () -> tensor<f64>
        %198 = "stablehlo.broadcast_in_dim"(%197) <{broadcast_dimensions = array<i64>}> : (tensor<f64>) -> tensor<2x4xf64>
        %199 = "stablehlo.subtract"(%198, %196) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %200 = "stablehlo.multiply"(%188, %199) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %201 = "stablehlo.dot_general"(%200, %99) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x4xf64>, tensor<4x4xf64>) -> tensor<2x4xf64>
        %202 = "stablehlo.dot_general"(%200, %97#0) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]}> : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<4x4xf64>
        %203 = "stablehlo.add"(%81, %201) : (tensor<2x4xf64>, tensor<2x4xf64>) -> tensor<2x4xf64>
        %204 = "stablehlo.reshape"(%202) : (tensor<4x4xf64>) -> tensor<1x4x4xf64>
        %205 = "stablehlo.dynamic_update_slice"(%82, %204, %91, %92, %92) : (tensor<3x4x4xf64>, tensor<1x4x4xf64>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<3x4x4xf64>
        %206 = "stablehlo.reshape"(%194) : (tensor<4xf64>) -> tensor<1x4xf64>
        %207 = "stablehlo.dynamic_update_slice"(%83, %206, %91, %92) : (tensor<3x4xf64>, tensor<1x4xf64>, tensor<i32>, tensor<i32>) -> tensor<3x4xf64>
        %208 = "stablehlo.add"(%84, %195) : (tensor<4xf64>, tensor<4xf64>) -> tensor<4xf64>
        %209 = "stablehlo.add"(%80, %120) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%209, %203, %205, %207, %208, %85, %86, %87, %88, %89) : (tensor<i32>, tensor<2x4xf64>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>) -> ()
    }) : (tensor<i32>, tensor<2x4xf64>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>) -> (tensor<i32>, tensor<2x4xf64>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>, tensor<3x2x4xf64>, tensor<3x2xi32>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>)
    "func.return"(%60, %67#1, %67#2, %67#3, %67#4, %5#1) : (tensor<f64>, tensor<2x4xf64>, tensor<3x4x4xf64>, tensor<3x4xf64>, tensor<4xf64>, tensor<2x4xf64>) -> ()
  }
}
