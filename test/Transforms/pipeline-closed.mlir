// RUN: qlow-opt %s -qlow-pipeline="target=generic start-after=qlow-split-quantized stop-after=qlow-expand-math" \
// RUN:   | qlow-opt -qlow-pipeline="target=generic start-after=qlow-build-entries" | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64 | llc -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64 -filetype=obj -o %t.o
// RUN: llvm-nm --undefined-only %t.o | FileCheck %s --implicit-check-not=U
// RUN: qlow-opt %s -qlow-pipeline="target=x86-64-v2 start-after=qlow-split-quantized stop-after=qlow-expand-math" \
// RUN:   | qlow-opt -qlow-pipeline="target=x86-64-v2 start-after=qlow-build-entries" | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v2 | llc -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v2 -filetype=obj -o %t.o
// RUN: llvm-nm --undefined-only %t.o | FileCheck %s --implicit-check-not=U
// RUN: qlow-opt %s -qlow-pipeline="target=x86-64-v3 start-after=qlow-split-quantized stop-after=qlow-expand-math" \
// RUN:   | qlow-opt -qlow-pipeline="target=x86-64-v3 start-after=qlow-build-entries" | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v3 | llc -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v3 -filetype=obj -o %t.o
// RUN: llvm-nm --undefined-only %t.o | FileCheck %s --implicit-check-not=U
// RUN: qlow-opt %s -qlow-pipeline="target=x86-64-v4 start-after=qlow-split-quantized stop-after=qlow-expand-math" \
// RUN:   | qlow-opt -qlow-pipeline="target=x86-64-v4 start-after=qlow-build-entries" | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v4 | llc -O2 -mtriple=x86_64-linux-gnu -mcpu=x86-64-v4 -filetype=obj -o %t.o
// RUN: llvm-nm --undefined-only %t.o | FileCheck %s --implicit-check-not=U
// CHECK: U memcpy
// CHECK-NEXT: U memset

// What the closed list accepts is lowered on every target, and leaves no undefined symbol but those of the C library's
// memory functions.

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>

// Tensors are cut, joined, padded, reshaped and generated.
func.func @tensors(%x: tensor<?x8xf32> {qlow.dims = ["m", 8]}, %i: index)
    -> (tensor<?x12xf32> {qlow.dims = ["m", 12]}, tensor<4x4xf32>, tensor<16xf32>, tensor<?x2x4xf32> {qlow.dims = ["m", 2, 4]}, tensor<3x5xf32>, tensor<2x3xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.5 : f32
  %m = tensor.dim %x, %c0 : tensor<?x8xf32>
  %p = tensor.pad %x low[0, 1] high[0, 3] {
  ^bb0(%a: index, %b: index):
    tensor.yield %z : f32
  } : tensor<?x8xf32> to tensor<?x12xf32>
  %s = tensor.extract_slice %x[%i, 2] [4, 4] [1, 1] : tensor<?x8xf32> to tensor<4x4xf32>
  %flat = tensor.collapse_shape %s [[0, 1]] : tensor<4x4xf32> into tensor<16xf32>
  %e = tensor.expand_shape %x [[0], [1, 2]] output_shape [%m, 2, 4] : tensor<?x8xf32> into tensor<?x2x4xf32>
  %g = tensor.generate {
  ^bb0(%a: index, %b: index):
    %v = tensor.extract %x[%a, %b] : tensor<?x8xf32>
    tensor.yield %v : f32
  } : tensor<3x5xf32>
  %c = arith.constant 3 : i32
  %f = tensor.splat %c : tensor<2x3xi32>
  return %p, %s, %flat, %e, %g, %f : tensor<?x12xf32>, tensor<4x4xf32>, tensor<16xf32>, tensor<?x2x4xf32>, tensor<3x5xf32>, tensor<2x3xi32>
}

// Nothing at all is joined and padded.
func.func @empty(%x: tensor<0x4xf32>, %y: tensor<2x4xf32>, %n: tensor<?x0xf32> {qlow.dims = ["m", 0]}, %w: tensor<?x3xf32> {qlow.dims = ["m", 3]})
    -> (tensor<2x4xf32>, tensor<3x4xf32>, tensor<0x4xf32>, tensor<?x3xf32> {qlow.dims = ["m", 3]}, tensor<?x5xf32> {qlow.dims = ["m", 5]},
        tensor<?x0xf32> {qlow.dims = ["m", 0]}) {
  %z = arith.constant 0.5 : f32
  %last = tensor.concat dim(0) %y, %x, %x : (tensor<2x4xf32>, tensor<0x4xf32>, tensor<0x4xf32>) -> tensor<2x4xf32>
  %low = tensor.pad %x low[3, 0] high[0, 0] {
  ^bb0(%a: index, %b: index):
    tensor.yield %z : f32
  } : tensor<0x4xf32> to tensor<3x4xf32>
  %none = tensor.concat dim(0) %x, %x : (tensor<0x4xf32>, tensor<0x4xf32>) -> tensor<0x4xf32>
  %open = tensor.concat dim(1) %w, %n : (tensor<?x3xf32>, tensor<?x0xf32>) -> tensor<?x3xf32>
  %wide = tensor.pad %n low[0, 4] high[0, 1] {
  ^bb0(%a: index, %b: index):
    tensor.yield %z : f32
  } : tensor<?x0xf32> to tensor<?x5xf32>
  %narrow = tensor.concat dim(1) %n, %n : (tensor<?x0xf32>, tensor<?x0xf32>) -> tensor<?x0xf32>
  return %last, %low, %none, %open, %wide, %narrow
      : tensor<2x4xf32>, tensor<3x4xf32>, tensor<0x4xf32>, tensor<?x3xf32>, tensor<?x5xf32>, tensor<?x0xf32>
}

// arith and math element by element on whole tensors, and a choice between two of them.
func.func @elementwise(%x: tensor<?x8xf32> {qlow.dims = ["m", 8]}, %y: tensor<?x8xf32> {qlow.dims = ["m", 8]}, %c: i1)
    -> (tensor<?x8xf32>, tensor<?x8xi1>, tensor<?x8xf32>) {
  %s = arith.addf %x, %y : tensor<?x8xf32>
  %l = arith.cmpf olt, %s, %y : tensor<?x8xf32>
  %a = arith.select %c, %s, %y : tensor<?x8xf32>
  %b = arith.select %l, %a, %x : tensor<?x8xi1>, tensor<?x8xf32>
  %f = math.floor %b : tensor<?x8xf32>
  return %s, %l, %f : tensor<?x8xf32>, tensor<?x8xi1>, tensor<?x8xf32>
}

func.func @joined(%x: tensor<2x8xf32>, %y: tensor<3x8xf32>, %shape: tensor<2xi32>, %v: f32, %i: index) 
    -> (tensor<5x8xf32>, tensor<4x4xf32>, tensor<2x8xf32>, tensor<2xf32>, tensor<?x8xf32> {qlow.dims = ["n", 8]}) {
  %c = tensor.concat dim(0) %x, %y : (tensor<2x8xf32>, tensor<3x8xf32>) -> tensor<5x8xf32>
  %r = tensor.reshape %x(%shape) : (tensor<2x8xf32>, tensor<2xi32>) -> tensor<4x4xf32>
  %n = tensor.insert %v into %x[%i, %i] : tensor<2x8xf32>
  %e = tensor.from_elements %v, %v : tensor<2xf32>
  %d = tensor.cast %y : tensor<3x8xf32> to tensor<?x8xf32>
  return %c, %r, %n, %e, %d : tensor<5x8xf32>, tensor<4x4xf32>, tensor<2x8xf32>, tensor<2xf32>, tensor<?x8xf32>
}

// A softmax by hand, and named ops.
func.func @structured(%x: tensor<?x16xf32> {qlow.dims = ["m", 16]}, %a: tensor<?x16xbf16> {qlow.dims = ["m", 16]}, %b: tensor<16x4xf16>)
    -> (tensor<?x16xf32> {qlow.dims = ["m", 16]}, tensor<16x?xf32> {qlow.dims = [16, "m"]}, tensor<?x4xf32> {qlow.dims = ["m", 4]}, tensor<?x16xbf16> {qlow.dims = ["m", 16]}) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %m = tensor.dim %x, %c0 : tensor<?x16xf32>
  %er = tensor.empty(%m) : tensor<?xf32>
  %e = tensor.empty(%m) : tensor<?x16xf32>
  %fm = linalg.fill ins(%low : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %max = linalg.reduce { arith.maximumf } ins(%x : tensor<?x16xf32>) outs(%fm : tensor<?xf32>) dimensions = [1]
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %max : tensor<?x16xf32>, tensor<?xf32>) outs(%e : tensor<?x16xf32>) {
  ^bb0(%v: f32, %w: f32, %o: f32):
    %d = arith.subf %v, %w : f32
    %q = math.exp %d : f32
    linalg.yield %q : f32
  } -> tensor<?x16xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.reduce { arith.addf } ins(%p : tensor<?x16xf32>) outs(%fs : tensor<?xf32>) dimensions = [1]
  %bs = linalg.broadcast ins(%sum : tensor<?xf32>) outs(%e : tensor<?x16xf32>) dimensions = [1]
  %y = linalg.div ins(%p, %bs : tensor<?x16xf32>, tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %et = tensor.empty(%m) : tensor<16x?xf32>
  %t = linalg.transpose ins(%y : tensor<?x16xf32>) outs(%et : tensor<16x?xf32>) permutation = [1, 0]
  %e4 = tensor.empty(%m) : tensor<?x4xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %mm = linalg.matmul ins(%a, %b : tensor<?x16xbf16>, tensor<16x4xf16>) outs(%f4 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %ea = tensor.empty(%m) : tensor<?x16xbf16>
  %th = linalg.tanh ins(%a : tensor<?x16xbf16>) outs(%ea : tensor<?x16xbf16>) -> tensor<?x16xbf16>
  return %y, %t, %mm, %th : tensor<?x16xf32>, tensor<16x?xf32>, tensor<?x4xf32>, tensor<?x16xbf16>
}

// Control flow carries tensors; a state is updated in place.
func.func @control(%x: tensor<4x8xf32>, %n: index, %c: i1, %s: i32, %kv: tensor<16x8xf32> {qlow.name = "kv"}) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<16x8xf32> {qlow.updates = "kv"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4x8xf32>
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %x) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    %y = linalg.exp ins(%a : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    scf.yield %y, %a : tensor<4x8xf32>, tensor<4x8xf32>
  }
  %i = scf.if %c -> tensor<4x8xf32> {
    %y = linalg.negf ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    scf.yield %y : tensor<4x8xf32>
  } else {
    scf.yield %x : tensor<4x8xf32>
  }
  %w = scf.while (%a = %x) : (tensor<4x8xf32>) -> tensor<4x8xf32> {
    %v = tensor.extract %a[%c0, %c1] : tensor<4x8xf32>
    %l = arith.constant 100.0 : f32
    %go = arith.cmpf olt, %v, %l : f32
    scf.condition(%go) %a : tensor<4x8xf32>
  } do {
  ^bb0(%a: tensor<4x8xf32>):
    %y = linalg.add ins(%a, %x : tensor<4x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    scf.yield %y : tensor<4x8xf32>
  }
  %k = arith.index_cast %s : i32 to index
  %h = scf.index_switch %k -> tensor<4x8xf32>
  case 0 {
    scf.yield %w : tensor<4x8xf32>
  }
  default {
    %y = linalg.abs ins(%w : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    scf.yield %y : tensor<4x8xf32>
  }
  %sel = arith.select %c, %h, %i : tensor<4x8xf32>
  %new = tensor.insert_slice %x into %kv[%n, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<16x8xf32>
  return %r#0, %r#1, %i, %sel, %new : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<16x8xf32>
}

// Scalars of every type.
func.func @scalars(%i: i32, %l: i64, %x: f32, %d: f64, %h: f16, %b: bf16, %n: index) -> (i32, i64, f32, f64, f16, bf16, index, i8) {
  %0 = arith.ceildivsi %i, %i : i32
  %1 = arith.floordivsi %0, %i : i32
  %2 = math.ctlz %1 : i32
  %3 = math.cttz %2 : i32
  %4 = math.ctpop %3 : i32
  %5 = math.absi %4 : i32
  %6 = arith.fptosi %x : f32 to i64
  %7 = arith.fptoui %d : f64 to i64
  %8 = arith.addi %6, %7 : i64
  %9 = arith.uitofp %8 : i64 to f32
  %10 = arith.remf %9, %x : f32
  %11 = arith.maximumf %10, %x : f32
  %12 = arith.minnumf %11, %x : f32
  %13 = math.powf %12, %x : f32
  %14 = math.fma %13, %x, %x : f32
  %15 = math.floor %x : f32
  %16 = math.round %15 : f32
  %17 = arith.extf %16 : f32 to f64
  %18 = arith.maximumf %17, %d : f64
  %19 = arith.truncf %18 : f64 to f16
  %20 = arith.mulf %19, %h : f16
  %21 = arith.cmpf olt, %20, %h : f16
  %22 = arith.select %21, %20, %h : f16
  %23 = arith.extf %22 : f16 to f64
  %24 = arith.truncf %23 : f64 to bf16
  %25 = arith.divf %24, %b : bf16
  %26 = math.sin %25 : bf16
  %27 = arith.sitofp %l : i64 to bf16
  %28 = arith.select %21, %26, %27 : bf16
  %29 = arith.fptosi %28 : bf16 to i8
  %30 = arith.ceildivui %n, %n : index
  %lo, %hi = arith.mulsi_extended %l, %8 : i64
  %31 = arith.addi %lo, %hi : i64
  return %5, %31, %14, %23, %22, %28, %30, %29 : i32, i64, f32, f64, f16, bf16, index, i8
}

// Two dynamic sizes become one and two again.
func.func @batches(%x: tensor<?x?x4xf32> {qlow.dims = ["a", "b", 4]}) -> (tensor<?x?x8xf32> {qlow.dims = ["a", "b", 8]}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f32
  %a = tensor.dim %x, %c0 : tensor<?x?x4xf32>
  %b = tensor.dim %x, %c1 : tensor<?x?x4xf32>
  %rows = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x4xf32> into tensor<?x4xf32>
  %wide = tensor.pad %rows low[0, 1] high[0, 3] {
  ^bb0(%i: index, %j: index):
    tensor.yield %one : f32
  } : tensor<?x4xf32> to tensor<?x8xf32>
  %y = tensor.expand_shape %wide [[0, 1], [2]] output_shape [%a, %b, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}
