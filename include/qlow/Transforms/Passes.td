//===- Passes.td - from imported IR to loops --------------------------------===//

#ifndef QLOW_TRANSFORMS_PASSES_TD
#define QLOW_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseEpilogues : Pass<"qlow-fuse-epilogues", "::mlir::ModuleOp"> {
  let summary = "Move what follows a matmul elementwise into its epilogue";
}
def SelectRecipes : Pass<"qlow-select-recipes", "::mlir::ModuleOp"> {
  let summary = "Choose for each matmul the instruction and the tiles";
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}
def PackWeights : Pass<"qlow-pack-weights", "::mlir::ModuleOp"> {
  let summary = "Turn constant right-hand sides into packed weights";
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}
def SplitQuantized : Pass<"qlow-split-quantized", "::mlir::ModuleOp"> {
  let summary = "Split quantized tensors into their parts and ops into kernel form";
}
def PlanWorkspace : Pass<"qlow-plan-workspace", "::mlir::ModuleOp"> {
  let summary = "Give every buffer an offset in the caller's workspace";
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}
def ScheduleKernels : Pass<"qlow-schedule-kernels", "::mlir::ModuleOp"> {
  let summary = "Lower kernel forms to the loops of the target's schedules";
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}
def OutlineParallel : Pass<"qlow-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "Turn parallel loops into tasks for the caller's threads";
}
def ExpandMath : Pass<"qlow-expand-math", "::mlir::ModuleOp"> {
  let summary = "Expand math and float conversions that would need a library";
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}

#endif // QLOW_TRANSFORMS_PASSES_TD
