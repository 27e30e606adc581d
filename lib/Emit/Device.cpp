//===- Device.cpp - what a kind of device adds to an object -----------------===//
//
// The kind of device, how kernels are recorded on a module, and the argument that launches go through.
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "Cuda/Driver.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace qlow;

const Device &Device::get() { return cudaDevice(); }

ArrayAttr qlow::kernelsToAttribute(ArrayRef<AbiKernel> kernels, MLIRContext *context) {
  Builder b(context);
  SmallVector<Attribute> entries;
  for (const AbiKernel &kernel : kernels)
    entries.push_back(b.getDictionaryAttr({b.getNamedAttr("name", b.getStringAttr(kernel.name)),
                                           b.getNamedAttr("shared", b.getI64IntegerAttr(kernel.sharedBytes)),
                                           b.getNamedAttr("clusters", b.getBoolAttr(kernel.clusters)),
                                           b.getNamedAttr("maps", b.getBoolAttr(kernel.maps)),
                                           b.getNamedAttr("waits", b.getBoolAttr(kernel.waits)),
                                           b.getNamedAttr("image", b.getStringAttr(kernel.image))}));
  return b.getArrayAttr(entries);
}

FailureOr<std::vector<AbiKernel>> qlow::kernelsFromAttribute(ModuleOp module) {
  std::vector<AbiKernel> kernels;
  auto entries = module->getAttrOfType<ArrayAttr>("qlow.kernels");
  if (!entries)
    return module.emitError("expected 'qlow.kernels' on a module for a device: run qlow-lower-launches first");
  for (Attribute entry : entries) {
    auto fields = dyn_cast<DictionaryAttr>(entry);
    auto name = fields ? fields.getAs<StringAttr>("name") : StringAttr();
    auto shared = fields ? fields.getAs<IntegerAttr>("shared") : IntegerAttr();
    auto clusters = fields ? fields.getAs<BoolAttr>("clusters") : BoolAttr();
    auto maps = fields ? fields.getAs<BoolAttr>("maps") : BoolAttr();
    auto waits = fields ? fields.getAs<BoolAttr>("waits") : BoolAttr();
    auto image = fields ? fields.getAs<StringAttr>("image") : StringAttr();
    if (!name || !shared || !clusters || !maps || !waits || !image)
      return module.emitError("expected 'qlow.kernels' as qlow-lower-launches writes it, a list of {name, shared, "
                              "clusters, maps, waits, image}");
    kernels.push_back(
        {name.str(), shared.getInt(), clusters.getValue(), maps.getValue(), waits.getValue(), image.str()});
  }
  return kernels;
}

Value qlow::findLaunchArgument(Operation *op) {
  auto function = op->getParentOfType<FunctionOpInterface>();
  for (unsigned i = 0; function && i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, "qlow.launch"))
      return function.getArgument(i);
  return {};
}
