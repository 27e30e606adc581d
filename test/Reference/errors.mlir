// RUN: python3 %S/Inputs/write_npy.py %t
// RUN: not qlow-run --reference %s --function=row %t/f64.npy 2>&1 | FileCheck %s --check-prefix=DTYPE
// RUN: not qlow-run --reference %s --function=row %t/shape.npy 2>&1 | FileCheck %s --check-prefix=SHAPE
// RUN: not qlow-run --reference %s --function=row %t/fortran.npy 2>&1 | FileCheck %s --check-prefix=FORTRAN
// RUN: not qlow-run --reference %s --function=row %t/truncated.npy 2>&1 | FileCheck %s --check-prefix=TRUNCATED
// RUN: not qlow-run --reference %s --function=row %t/header.npy 2>&1 | FileCheck %s --check-prefix=HEADER
// RUN: not qlow-run --reference %s --function=row %t/none.npy 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: not qlow-run --reference %s --function=row 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not qlow-run --reference %s --function=row %t/good.npy -o %t/a.npy -o %t/b.npy 2>&1 | FileCheck %s --check-prefix=OUTPUTS
// RUN: not qlow-run --reference %s --function=none 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not qlow-run --reference %s 2>&1 | FileCheck %s --check-prefix=WHICH
// RUN: not qlow-run --reference %s --function=row %t/good.npy -o %t/folder/a.npy 2>&1 | FileCheck %s --check-prefix=WRITE
// RUN: not qlow-run --reference %s --function=divide %t/zero.npy -o %t/quotient.npy 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not ls %t/quotient.npy
// RUN: not qlow-run --reference %s --function=outside 2>&1 | FileCheck %s --check-prefix=OUTSIDE
// RUN: not qlow-run --reference %s --function=large 2>&1 | FileCheck %s --check-prefix=LARGE
// RUN: not qlow-run --reference %s --function=splat 2>&1 | FileCheck %s --check-prefix=SPLAT
// RUN: not qlow-run --reference %s --function=mismatch %t/good.npy %t/other.npy 2>&1 | FileCheck %s --check-prefix=MISMATCH
// RUN: qlow-run --reference %s --function=row %t/version2.npy | FileCheck %s --check-prefix=GOOD

// DTYPE: f64.npy': expected type <f4, found <f8
// SHAPE: shape.npy': expected shape (?, 3), found (2, 4)
// FORTRAN: fortran.npy': expected C order, found Fortran order; save numpy.ascontiguousarray(a)
// TRUNCATED: truncated.npy': expected 24 bytes of data for shape (2, 3), found 20
// HEADER: header.npy': expected a .npy file of version 1, 2 or 3, found none or a damaged one
// MISSING: none.npy': can not be read: No such file or directory
// COUNT: qlow-run: error: expected 1 .npy files, one for each argument or part of one, found 0
// OUTPUTS: qlow-run: error: @row gives 1 arrays: expected as many -o, found 2
// NAME: errors.mlir' has no function @none
// WHICH: errors.mlir' has 6 public functions: say which with --function
// WRITE: qlow-run: error: can not write '{{.*}}folder/a.npy': No such file or directory
// GOOD: 2x3xf32: 0, 2, 4, 6, 8, 10
func.func @row(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = arith.addf %x, %x : tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// ZERO: errors.mlir:[[@LINE+2]]:{{.*}}error: divides by zero
func.func @divide(%x: i32) -> i32 {
  %y = arith.divsi %x, %x : i32
  return %y : i32
}

// OUTSIDE: errors.mlir:[[@LINE+4]]:{{.*}}error: index [3] is outside of a tensor of [3]
func.func @outside() -> i32 {
  %i = arith.constant 3 : index
  %t = arith.constant dense<[1, 2, 3]> : tensor<3xi32>
  %y = tensor.extract %t[%i] : tensor<3xi32>
  return %y : i32
}

// LARGE: error: a tensor of [1099511627776] has more elements than the reference evaluator holds, 4294967296
func.func @large() -> tensor<?xf32> {
  %size = arith.constant 1099511627776 : index
  %y = tensor.empty(%size) : tensor<?xf32>
  return %y : tensor<?xf32>
}

// MISMATCH: error: expected operands of one shape, found [2, 3] and [1, 3]
func.func @mismatch(%x: tensor<?x3xf32>, %z: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = arith.addf %x, %z : tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// SPLAT: errors.mlir:{{[0-9]+}}:8: error: a tensor of [100000, 100000] has more elements than the reference evaluator holds, 4294967296
func.func @splat() -> tensor<100000x100000xf32> {
  %0 = arith.constant dense<1.0> : tensor<100000x100000xf32>
  return %0 : tensor<100000x100000xf32>
}
