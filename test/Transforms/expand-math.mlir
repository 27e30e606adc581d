// RUN: qlow-opt %s -split-input-file -qlow-expand-math -verify-diagnostics | FileCheck %s --check-prefixes=CHECK,PLAIN
// RUN: qlow-opt %s -split-input-file -qlow-expand-math=target=x86-64-v3 -verify-diagnostics | FileCheck %s --check-prefixes=CHECK,NATIVE
// RUN: qlow-opt %s -split-input-file -qlow-expand-math=target=sm_80 -verify-diagnostics | FileCheck %s --check-prefixes=BRAIN
// RUN: qlow-opt %s -split-input-file -qlow-expand-math=target=sm_75 -verify-diagnostics | FileCheck %s --check-prefixes=CHIP
// What is computed: expand-math.py.

// A function is computed in f64 and rounded once.
// CHECK-LABEL: func.func @function(
// CHECK-SAME:    %[[X:.*]]: f32) -> f32
// CHECK:         arith.extf %[[X]] : f32 to f64
// CHECK-NOT:     math.exp
// CHECK-NOT:     fastmath
// CHECK:         %[[Y:.*]] = arith.truncf %{{.*}} : f64 to f32
// CHECK:         return %[[Y]]
func.func @function(%x: f32) -> f32 {
  %y = math.exp %x : f32
  return %y : f32
}

// -----

// Vectors stay vectors.
// CHECK-LABEL: func.func @vectors(
// CHECK:         arith.extf %{{.*}} : vector<8xf32> to vector<8xf64>
// CHECK:         arith.truncf %{{.*}} : vector<8xf64> to vector<8xf32>
// CHECK-NOT:     math.tanh
func.func @vectors(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.tanh %x : vector<8xf32>
  return %y : vector<8xf32>
}

// -----

// Rounding to integers, conversions of f16 and fma stay where the target has them.
// CHECK-LABEL: func.func @units(
// NATIVE:        math.roundeven
// NATIVE:        math.fma
// NATIVE:        arith.truncf %{{.*}} : f32 to f16
// PLAIN-NOT:     math.roundeven
// PLAIN-NOT:     math.fma
// PLAIN-NOT:     to f16
// PLAIN:         arith.bitcast %{{.*}} : i16 to f16
func.func @units(%x: f32) -> f16 {
  %y = math.roundeven %x : f32
  %z = math.fma %x, %x, %y : f32
  %h = arith.truncf %z : f32 to f16
  return %h : f16
}

// -----

// No target rounds half away from zero; f64 reaches f16 through an f32 made odd.
// CHECK-LABEL: func.func @never_native(
// CHECK-NOT:     math.round
// CHECK-NOT:     f64 to f16
// CHECK:         arith.truncf %{{.*}} : f64 to f32
func.func @never_native(%x: f64) -> (f64, f16) {
  %y = math.round %x : f64
  %h = arith.truncf %x : f64 to f16
  return %y, %h : f64, f16
}

// -----

// Of a number and a NaN the number, of zeros the positive one: not what LLVM's maxnum promises, nor a call in kernels.
// CHECK-LABEL: func.func @numbers(
// CHECK:         llvm.call_intrinsic "llvm.maximumnum"(%{{.*}}) : (f32, f32) -> f32
// CHECK:         llvm.call_intrinsic "llvm.minimumnum"(%{{.*}}) : (f32, f32) -> f32
// CHIP-LABEL:  func.func @numbers(
// CHIP:          llvm.call_intrinsic "llvm.maximumnum"
func.func @numbers(%x: f32, %y: f32, %z: f16) -> (f32, f16) {
  %w = arith.extf %z : f16 to f32
  %h = arith.truncf %y : f32 to f16
  %a = arith.maxnumf %x, %w : f32
  %b = arith.minnumf %z, %h : f16
  return %a, %b : f32, f16
}

// -----

// Intrinsics of kernels are of f32: a device need not have bf16.
// CHIP-LABEL:  func.func @small(
// CHIP-NOT:      llvm.call_intrinsic {{.*}}bf16
// CHIP:          %[[A:.*]] = llvm.call_intrinsic "llvm.fabs"(%{{.*}}) : (f32) -> f32
func.func @small(%x: bf16) -> bf16 {
  %a = math.absf %x : bf16
  return %a : bf16
}

// -----

// Each operation on bf16 is one on f32, rounded, by the target where it does so.
// CHIP-LABEL:    func.func @bf16(
// CHIP-NOT:      truncf
// BRAIN-LABEL:   func.func @bf16(
// BRAIN:         %[[S:.*]] = arith.addf %{{.*}} : f32
// BRAIN:         arith.truncf %[[S]] : f32 to bf16
// BRAIN:         %[[P:.*]] = arith.mulf %{{.*}} : f32
// BRAIN:         arith.truncf %[[P]] : f32 to bf16
// CHECK-LABEL: func.func @bf16(
// CHECK:         %[[S:.*]] = arith.addf %{{.*}} : f32
// CHECK:         arith.bitcast %[[S]] : f32 to i32
// CHECK-NOT:     truncf
// CHECK:         arith.mulf %{{.*}} : f32
func.func @bf16(%x: bf16, %y: bf16) -> i16 {
  %s = arith.addf %x, %y : bf16
  %p = arith.mulf %s, %y : bf16
  %b = arith.bitcast %p : bf16 to i16
  return %b : i16
}

// -----

func.func @f64(%x: f64) -> f64 {
  // expected-error@+1 {{'math.exp' op on 'f64' has no expansion for target}}
  %y = math.exp %x : f64
  return %y : f64
}

// -----

func.func @remainder(%x: f64) -> f64 {
  // expected-error@+1 {{'arith.remf' op on 'f64' has no expansion for target}}
  %y = arith.remf %x, %x : f64
  return %y : f64
}
