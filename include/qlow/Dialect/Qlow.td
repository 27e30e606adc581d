//===- Qlow.td - the whole dialect, for TableGen ----------------------------===//

include "qlow/Dialect/KernelForm.td"
