//===- Identifiers.cpp - which names C and C++ allow ------------------------===//
//
// The header is read by C and C++ compilers, so a name must be an identifier and no keyword of either, nor one of the
// few macros that common headers and compilers define in lower case.
//
//===----------------------------------------------------------------------===//

#include "qlow/Emit/Emit.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace qlow;

/// Keywords of C23 and C++23.
static constexpr StringRef kKeywords =
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t "
    "char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export extern "
    "false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr "
    "operator or or_eq private protected public register reinterpret_cast requires restrict return short "
    "signed sizeof static static_assert static_cast struct switch template this thread_local throw true "
    "try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t "
    "while xor xor_eq";

/// Macros and types that a member's name would break.
static constexpr StringRef kReserved =
    "NULL offsetof errno assert linux unix i386 size_t int8_t int16_t int32_t int64_t uint8_t uint16_t "
    "uint32_t uint64_t stdin stdout stderr complex I";

static bool hasWord(StringRef words, StringRef word) { return is_contained(split(words, ' '), word); }

std::string qlow::makeIdentifier(StringRef name) {
  std::string result;
  for (char c : name)
    result += isAlnum(c) ? c : '_';
  // Leading underscores and digits would be reserved or no identifier at all.
  if (result.find_first_not_of('_') == std::string::npos)
    return "x" + result;
  if (!isAlpha(result.front()))
    result.insert(0, "x");
  if (hasWord(kKeywords, result) || hasWord(kReserved, result))
    result += "_";
  return result;
}

std::string qlow::whyNotIdentifier(StringRef name, std::string &suggestion) {
  suggestion = makeIdentifier(name);
  if (suggestion == name)
    return "";
  if (hasWord(kKeywords, name))
    return "is a keyword of C or C++";
  if (hasWord(kReserved, name))
    return "is a name of the C library or compiler";
  return "is no name of C: expected letters, digits and _, a letter first";
}
