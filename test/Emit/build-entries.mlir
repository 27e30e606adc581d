// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-build-entries | FileCheck %s --check-prefixes=CHECK,GENERIC
// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-build-entries="target=x86-64-v3 openmp=true" | FileCheck %s --check-prefixes=CHECK,V3

// The record becomes the module's, with what it says of the machine.
// GENERIC: module attributes {qlow.abi = "{{.*}}target\22:\22generic\22,\22openmp\22:false,\22cpu_features\22:[]
// V3: module attributes {qlow.abi = "{{.*}}target\22:\22x86-64-v3\22,\22openmp\22:true,\22cpu_features\22:[{{.*}}\22avx2\22
module attributes {qlow.prefix = "net"} {
  // The workspace function checks the size's range and the width before it asks what was planned; -1 is out of range.
  // CHECK-LABEL: llvm.func @net_f_workspace(
  // CHECK-SAME: %[[M:.+]]: i64, %[[WIDTH:.+]]: i32) -> i64 {
  // CHECK-DAG: llvm.icmp "sge" %[[WIDTH]],
  // CHECK-DAG: llvm.icmp "sge" %[[M]],
  // CHECK-DAG: llvm.icmp "sle" %[[M]],
  // CHECK: llvm.mlir.constant(-1 : i64)
  // CHECK: llvm.cond_br
  // CHECK: func.call @net.model.f.workspace(
  // CHECK: llvm.return

  // Codes are the check's number and 256 times the member's, in the order of docs/Abi.md: args, size of the struct,
  // processor, range of m, pointers, alignments, workspace.
  // CHECK-LABEL: llvm.func @net_f(
  // CHECK-SAME: %[[ARGS:.+]]: !llvm.ptr) -> i32 {
  // CHECK: %[[NULL:.+]] = llvm.mlir.constant(257 : i32)
  // CHECK-NEXT: llvm.cond_br %{{.+}}, ^{{.+}}, ^[[FAIL:.+]](%[[NULL]] : i32)
  // CHECK: llvm.mlir.constant(518 : i32)
  // V3: llvm.call @net_check_cpu
  // CHECK: llvm.mlir.constant(770 : i32)
  // CHECK: llvm.mlir.constant(1025 : i32)
  // CHECK: llvm.mlir.constant(1281 : i32)
  // CHECK: llvm.mlir.constant(1537 : i32)
  // CHECK: llvm.mlir.constant(1027 : i32)
  // CHECK: llvm.mlir.constant(1283 : i32)
  // CHECK: llvm.mlir.constant(1539 : i32)
  // CHECK: llvm.mlir.constant(1796 : i32)
  // CHECK: func.call @net.model.f(

  // Only the entries are seen from outside.
  // CHECK: func.func private @net.model.f({{.*}} attributes {llvm.linkage = #llvm.linkage<internal>}
  // CHECK: func.func private @net.model.f.workspace({{.*}} attributes {llvm.linkage = #llvm.linkage<internal>}
  func.func @f(%x: memref<?x4xf32>, %y: memref<?x4xf32>, %workspace: memref<?xi8>, %width: index, %parallel: !llvm.ptr)
      attributes {qlow.abi = {dims = [["m", 1, 64]], fields = [
        {element = "f32", kind = "input", name = "x", note = "", part = "", shape = ["m", 4], tensor = "tensor<?x4xf32>", value = "x"},
        {element = "f32", kind = "output", name = "y", note = "", part = "", shape = ["m", 4], tensor = "tensor<?x4xf32>", value = "y"}],
        results = [1 : i32]}} {
    return
  }
  func.func private @f.workspace(%m: index, %width: index) -> index {
    return %m : index
  }
  // CHECK-LABEL: llvm.func @net_check_cpu() -> i32
  // GENERIC-NOT: cpuid
  // V3: cpuid
  // CHECK: llvm.func @net_strerror(%{{.+}}: i32) -> !llvm.ptr
  // V3: llvm.func @GOMP_parallel(
  // V3: llvm.func @net_openmp(%{{.+}}: !llvm.ptr, %{{.+}}: i32)
  // GENERIC-NOT: openmp
}

// -----

// What the passes before have left must be what the record says.
module attributes {qlow.prefix = "net"} {
  // expected-error@+1 {{does not have the arguments its 'qlow.abi' records: 1 fields, 2 arguments; expected inputs, outputs, then workspace, width and parallel, found '(memref<4xf32>, memref<4xf32>) -> ()'}}
  func.func @g(%x: memref<4xf32>, %y: memref<4xf32>) attributes {qlow.abi = {dims = [], fields = [
      {element = "f32", kind = "input", name = "x", note = "", part = "", shape = [4], tensor = "tensor<4xf32>", value = "x"}],
      results = []}} {
    return
  }
}

// -----

// expected-error@+1 {{expected at least one public function with a body: it becomes an entry of the object}}
module {
}
