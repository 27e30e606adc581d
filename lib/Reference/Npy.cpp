//===- Npy.cpp - NumPy's array files ----------------------------------------===//
//
// Reads versions 1 to 3 of the .npy format (numpy/lib/format.py), C order and little endian only; writes version 1.
// A file that is damaged or holds another array than expected is an error, never a guess.
//
//===----------------------------------------------------------------------===//

#include "Arrays.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

static constexpr StringRef magic("\x93NUMPY", 6);

/// numpy's name of the type that an element is written as, and those it is also read from.
static SmallVector<StringRef> dtypesOf(ArrayElement element) {
  switch (element) {
  case ArrayElement::I1:
    return {"|b1", "|u1"};
  case ArrayElement::U8:
    return {"|u1", "|i1"};
  case ArrayElement::I8:
    return {"|i1", "|u1"};
  case ArrayElement::F8E8M0:
  case ArrayElement::F8E4M3:
    return {"|u1"};
  case ArrayElement::I16:
    return {"<i2", "<u2"};
  case ArrayElement::BF16:
    return {"<u2"};
  case ArrayElement::I32:
    return {"<i4", "<u4"};
  case ArrayElement::I64:
    return {"<i8", "<u8"};
  case ArrayElement::F16:
    return {"<f2"};
  case ArrayElement::F32:
    return {"<f4"};
  case ArrayElement::F64:
    return {"<f8"};
  }
  llvm_unreachable("not an element");
}

static std::string spellShape(ArrayRef<int64_t> shape) {
  std::string text = "(";
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(shape, os, [&](int64_t size) {
    if (ShapedType::isDynamic(size))
      os << "?";
    else
      os << size;
  });
  if (shape.size() == 1)
    os << ",";
  os << ")";
  return text;
}

namespace {
/// What a header says.
struct Header {
  std::string dtype;
  bool fortranOrder = false;
  SmallVector<int64_t> shape;
};

/// Parses the dict literal of a header: three keys in any order, a string, a bool, a tuple of integers.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : text(text) {}

  bool parse(Header &header) {
    if (!eat('{'))
      return false;
    while (!eat('}')) {
      std::string key;
      if (!parseString(key) || !eat(':') || !parseValue(key, header))
        return false;
      eat(',');
    }
    text = text.ltrim();
    return text.empty() && !header.dtype.empty() && hasShape && hasOrder;
  }

private:
  bool eat(char c) {
    text = text.ltrim();
    return text.consume_front(StringRef(&c, 1));
  }
  bool parseString(std::string &value) {
    text = text.ltrim();
    char quote = text.empty() ? 0 : text.front();
    if (quote != '\'' && quote != '"')
      return false;
    size_t end = text.find(quote, 1);
    if (end == StringRef::npos)
      return false;
    value = text.slice(1, end).str();
    text = text.drop_front(end + 1);
    return true;
  }
  bool parseShape(Header &header) {
    hasShape = true;
    if (!eat('('))
      return false;
    while (!eat(')')) {
      text = text.ltrim();
      int64_t size;
      if (text.consumeInteger(10, size) || size < 0)
        return false;
      text.consume_front("L"); // Python 2
      header.shape.push_back(size);
      eat(',');
    }
    return true;
  }
  bool parseValue(StringRef key, Header &header) {
    text = text.ltrim();
    if (key == "descr")
      return parseString(header.dtype);
    if (key == "shape")
      return parseShape(header);
    if (key != "fortran_order")
      return false;
    hasOrder = true;
    header.fortranOrder = text.starts_with("True");
    return text.consume_front("True") || text.consume_front("False");
  }

  StringRef text;
  bool hasShape = false, hasOrder = false;
};
} // namespace

/// Splits the file into header text and data.
static bool splitHeader(StringRef file, StringRef &header, StringRef &data) {
  if (!file.consume_front(magic) || file.size() < 2)
    return false;
  unsigned version = uint8_t(file[0]), width = version == 1 ? 2 : 4;
  file = file.drop_front(2);
  if (version < 1 || version > 3 || file.size() < width)
    return false;
  size_t size = 0;
  for (unsigned byte = 0; byte < width; ++byte)
    size |= size_t(uint8_t(file[byte])) << 8 * byte;
  file = file.drop_front(width);
  if (file.size() < size)
    return false;
  header = file.take_front(size);
  data = file.drop_front(size);
  return true;
}

static StringRef nameOf(ArrayElement element) {
  switch (element) {
  case ArrayElement::I1:
    return "i1";
  case ArrayElement::U8:
    return "u8";
  case ArrayElement::I8:
    return "i8";
  case ArrayElement::I16:
    return "i16";
  case ArrayElement::I32:
    return "i32";
  case ArrayElement::I64:
    return "i64";
  case ArrayElement::F16:
    return "f16";
  case ArrayElement::BF16:
    return "bf16";
  case ArrayElement::F32:
    return "f32";
  case ArrayElement::F64:
    return "f64";
  case ArrayElement::F8E8M0:
    return "f8E8M0FNU";
  case ArrayElement::F8E4M3:
    return "f8E4M3FN";
  }
  llvm_unreachable("not an element");
}

void qlow::print(llvm::raw_ostream &os, const Array &array) {
  for (int64_t size : array.shape)
    os << size << "x";
  os << nameOf(array.element) << ":";
  for (int64_t index = 0, end = array.size(); index < end; ++index) {
    Scalar value = load(array, index);
    os << (index ? ", " : " ");
    if (array.element == ArrayElement::I1)
      os << (value.i ? 1 : 0);
    else if (isFloat(array.element))
      os << llvm::format(array.element == ArrayElement::F64 ? "%.17g" : "%.9g", value.f);
    else
      os << value.i;
  }
  os << "\n";
}

llvm::Expected<Array> qlow::readNpy(StringRef path, const ArrayType &expected) {
  auto error = [&](const llvm::Twine &what) { return llvm::createStringError("'" + path + "': " + what); };
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> file =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!file)
    return error("can not be read: " + file.getError().message());
  StringRef text, data;
  Header header;
  if (!splitHeader((*file)->getBuffer(), text, data) || !HeaderParser(text).parse(header))
    return error("expected a .npy file of version 1, 2 or 3, found none or a damaged one");
  if (header.fortranOrder && header.shape.size() > 1)
    return error("expected C order, found Fortran order; save numpy.ascontiguousarray(a)");
  SmallVector<StringRef> dtypes = dtypesOf(expected.element);
  if (!llvm::is_contained(dtypes, header.dtype))
    return error("expected type " + llvm::join(dtypes, " or ") + ", found " + header.dtype);
  if (failed(verifyCompatibleShape(expected.shape, header.shape)))
    return error("expected shape " + spellShape(expected.shape) + ", found " + spellShape(header.shape));
  // The product must not overflow before it is compared with what the file holds.
  uint64_t needed = sizeOf(expected.element);
  for (int64_t size : header.shape)
    if (__builtin_mul_overflow(needed, uint64_t(size), &needed))
      return error("shape " + spellShape(header.shape) + " is too large");
  if (data.size() != needed)
    return error("expected " + llvm::Twine(needed) + " bytes of data for shape " + spellShape(header.shape) +
                 ", found " + llvm::Twine(data.size()));
  Array array(header.shape, expected.element);
  llvm::copy(data, array.bytes.begin());
  if (expected.element == ArrayElement::I1)
    for (uint8_t &byte : array.bytes)
      byte = byte != 0;
  return array;
}

std::vector<uint8_t> qlow::encodeNpy(const Array &array) {
  std::string header = "{'descr': '" + dtypesOf(array.element).front().str() +
                       "', 'fortran_order': False, 'shape': " + spellShape(array.shape) + ", }";
  // Magic, version and length take 10 bytes; the data starts at a multiple of 64.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string start = magic.str() + std::string("\x01\x00", 2);
  start += char(header.size() & 0xff);
  start += char(header.size() >> 8);
  std::vector<uint8_t> bytes(start.begin(), start.end());
  bytes.insert(bytes.end(), header.begin(), header.end());
  bytes.insert(bytes.end(), array.bytes.begin(), array.bytes.end());
  return bytes;
}
