//===- Description.cpp - machines as JSON -----------------------------------===//
//
// Takes the text of a machine description and gives a Machine, or an error with file and line. Unknown keys, wrong
// types and cyclic inheritance are errors. This file knows JSON and no chip.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>

using namespace llvm;
using namespace qlow;

namespace {
/// A JSON value that remembers its line: nlohmann's own value does not before 3.12.
struct Node {
  enum Kind { Null, Boolean, Number, String, Array, Object } kind = Null;
  unsigned line = 0;
  double number = 0;
  std::string text;
  struct Member;
  std::vector<Member> members; ///< of arrays with empty keys
};
struct Node::Member {
  std::string key;
  Node value;
};

StringRef kindName(Node::Kind kind) {
  static constexpr StringRef kNames[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
  return kNames[kind];
}

/// Where the parser is in the text.
struct Position {
  unsigned line = 1;
  bool passedNewline = false; ///< with the last character
};

/// A character iterator that counts the newlines it has passed.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;
  const char *at;
  Position *position;
  reference operator*() const { return *at; }
  CountingIterator &operator++() {
    position->passedNewline = *at == '\n';
    position->line += position->passedNewline;
    ++at;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator &other) const { return at == other.at; }
  bool operator!=(const CountingIterator &other) const { return at != other.at; }
};

/// Builds the Node tree from nlohmann's events.
class TreeBuilder : public nlohmann::json::json_sax_t {
public:
  explicit TreeBuilder(const Position &position) : position(position) {}
  Node root;
  std::string error;

  bool null() override { return add(Node::Null); }
  bool boolean(bool) override { return add(Node::Boolean); }
  bool number_integer(number_integer_t value) override { return addNumber(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override { return addNumber(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t &) override { return addNumber(value); }
  bool string(string_t &value) override {
    add(Node::String)->text = value;
    return true;
  }
  bool binary(binary_t &) override { return false; }
  bool start_object(std::size_t) override { return open(Node::Object); }
  bool key(string_t &value) override {
    for (auto &member : stack.back()->members)
      if (member.key == value)
        return fail(formatv("key \"{0}\" is given twice", value));
    pendingKey = value;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Node::Array); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string &, const nlohmann::json::exception &exception) override {
    StringRef text(exception.what());
    // Behind the exception's name and the position, which is the text's and not the file's.
    return fail("not JSON: " + (text.contains(": ") ? text.split(": ") : text.split("] ")).second.str());
  }

private:
  const Position &position;
  std::vector<Node *> stack;
  std::string pendingKey;

  bool fail(std::string message) {
    // What is wrong came before the newline that was read behind it.
    error = formatv("{0}: {1}", position.line - position.passedNewline, message);
    return false;
  }
  Node *add(Node::Kind kind) {
    Node *node = &root;
    if (!stack.empty())
      node = &stack.back()->members.emplace_back(Node::Member{std::exchange(pendingKey, {}), Node()}).value;
    node->kind = kind;
    // A number ends with the character behind it.
    node->line = position.line - (kind == Node::Number && position.passedNewline);
    return node;
  }
  bool addNumber(double value) {
    add(Node::Number)->number = value;
    return true;
  }
  bool open(Node::Kind kind) {
    // No description nests deeper, and the tree is walked recursively.
    if (stack.size() >= 16)
      return fail("nested more than 16 levels deep");
    stack.push_back(add(kind));
    return true;
  }
  bool close() {
    stack.pop_back();
    return true;
  }
};

/// Reads one description into a Machine that already holds what it inherits.
class Reader {
public:
  Reader(StringRef file, Machine &machine) : file(file), machine(machine) {}

  Error read(const Node &root);

private:
  StringRef file;
  Machine &machine;

  Error fail(const Node &node, const Twine &message) const {
    return createStringError(formatv("{0}:{1}: {2}", file, node.line, message.str()).str());
  }
  Error expect(const Node &node, Node::Kind kind, StringRef key) const {
    if (node.kind == kind)
      return Error::success();
    return fail(node, formatv("expected {0} for \"{1}\", found {2}", kindName(kind), key, kindName(node.kind)));
  }
  Error readString(const Node &node, StringRef key, std::string &value) const;
  Error readNonNegative(const Node &node, StringRef key, double &value) const;
  Error readCount(const Node &node, StringRef key, int64_t &value) const;
  Error readFeatures(const Node &node);
  Error readRegisters(const Node &node);
  Error readLevels(const Node &node);
  Error readCapacity(const Node &node);
  Error readResidents(const Node &node);
};
} // namespace

Error Reader::readString(const Node &node, StringRef key, std::string &value) const {
  if (Error error = expect(node, Node::String, key))
    return error;
  value = node.text;
  return Error::success();
}

Error Reader::readNonNegative(const Node &node, StringRef key, double &value) const {
  if (Error error = expect(node, Node::Number, key))
    return error;
  bool isNonNegative = node.number >= 0;
  if (!isNonNegative)
    return fail(node, formatv("expected a number of at least 0 for \"{0}\", found {1}", key, node.number));
  if (node.number >= 1e18)
    return fail(node, formatv("expected a number below 1e18 for \"{0}\", found {1:e2}", key, node.number));
  value = node.number;
  return Error::success();
}

Error Reader::readCount(const Node &node, StringRef key, int64_t &value) const {
  double number = 0;
  if (Error error = readNonNegative(node, key, number))
    return error;
  value = static_cast<int64_t>(number);
  if (static_cast<double>(value) != number)
    return fail(node, formatv("expected a whole number for \"{0}\", found {1}", key, number));
  return Error::success();
}

Error Reader::readFeatures(const Node &node) {
  if (Error error = expect(node, Node::Array, "features"))
    return error;
  for (auto &[_, feature] : node.members) {
    std::string name;
    if (Error error = readString(feature, "features", name))
      return error;
    // A leading minus takes back an inherited feature.
    if (StringRef(name).starts_with("-"))
      erase(machine.features, name.substr(1));
    else if (!is_contained(machine.features, name))
      machine.features.push_back(name);
  }
  sort(machine.features);
  return Error::success();
}

Error Reader::readRegisters(const Node &node) {
  if (Error error = expect(node, Node::Object, "registers"))
    return error;
  for (auto &[key, value] : node.members) {
    if (key != "vector_bits" && key != "vectors")
      return fail(value, formatv("unknown key \"{0}\" in \"registers\"; known: vector_bits, vectors", key));
    if (Error error = readCount(value, key, key == "vectors" ? machine.vectorRegisters : machine.vectorBits))
      return error;
    bool isPowerOf2 = isPowerOf2_64(machine.vectorBits) || key != "vector_bits";
    if (value.number < (key == "vectors" ? 8 : 64) || value.number > 65536 || !isPowerOf2)
      return fail(value, formatv("expected {0} to 65536 for \"{1}\", found {2:f0}",
                                 key == "vectors" ? "8" : "a power of two from 64", key, value.number));
  }
  return Error::success();
}

Error Reader::readLevels(const Node &node) {
  if (Error error = expect(node, Node::Object, "levels"))
    return error;
  for (auto &[key, value] : node.members) {
    auto known = find_if(machine.levels, [&](const Machine::Level &level) { return level.name == key; });
    if (known == machine.levels.end())
      known = machine.levels.insert(machine.levels.end(), {key, 0});
    if (Error error = readCount(value, key, known->bytes))
      return error;
  }
  return Error::success();
}

Error Reader::readCapacity(const Node &node) {
  if (Error error = expect(node, Node::Object, "capacity"))
    return error;
  for (auto &[key, value] : node.members) {
    std::optional<unsigned> index;
    std::string known;
    for (unsigned i = 0; i < kNumResources; ++i) {
      StringRef name = resourceName(static_cast<Resource>(i));
      known += (i ? ", " : "") + name.str();
      if (name == key)
        index = i;
    }
    if (!index)
      return fail(value, formatv("unknown key \"{0}\" in \"capacity\"; known: {1}", key, known));
    if (Error error = readNonNegative(value, key, machine.capacity[*index]))
      return error;
  }
  return Error::success();
}

namespace {
struct ResidentsKey {
  StringRef name;
  int64_t Machine::Residents::*value;
};
} // namespace
static constexpr ResidentsKey kResidentsKeys[] = {{"warps", &Machine::Residents::warps},
                                                  {"blocks", &Machine::Residents::blocks},
                                                  {"registers", &Machine::Residents::registers},
                                                  {"shared", &Machine::Residents::shared},
                                                  {"reserved", &Machine::Residents::reserved}};

Error Reader::readResidents(const Node &node) {
  if (Error error = expect(node, Node::Object, "residents"))
    return error;
  for (auto &[key, value] : node.members) {
    const auto *known = find_if(kResidentsKeys, [&](const ResidentsKey &each) { return each.name == key; });
    if (known == std::end(kResidentsKeys))
      return fail(value, formatv("unknown key \"{0}\" in \"residents\"; known: warps, blocks, registers, shared, "
                                 "reserved",
                                 key));
    if (Error error = readCount(value, key, machine.residents.*known->value))
      return error;
  }
  return Error::success();
}

Error Reader::read(const Node &root) {
  for (auto &[key, value] : root.members) {
    Error error = Error::success();
    static_cast<void>(static_cast<bool>(error)); // checked, so that it may be assigned
    if (key == "name" || key == "inherits")
      error = expect(value, Node::String, key);
    else if (key == "description")
      error = readString(value, key, machine.description);
    else if (key == "family")
      error = readString(value, key, machine.family);
    else if (key == "triple")
      error = readString(value, key, machine.triple);
    else if (key == "tune")
      error = readString(value, key, machine.tune);
    else if (key == "host")
      error = readString(value, key, machine.host);
    else if (key == "portable")
      error = readString(value, key, machine.portable);
    else if (key == "features")
      error = readFeatures(value);
    else if (key == "clock_ghz")
      error = readNonNegative(value, key, machine.clockGHz);
    else if (key == "cores")
      error = readCount(value, key, machine.cores);
    else if (key == "registers")
      error = readRegisters(value);
    else if (key == "levels")
      error = readLevels(value);
    else if (key == "capacity")
      error = readCapacity(value);
    else if (key == "residents")
      error = readResidents(value);
    else
      error = fail(value, formatv("unknown key \"{0}\"; known: name, inherits, description, family, triple, tune, "
                                  "host, portable, features, clock_ghz, cores, registers, levels, capacity, residents",
                                  key));
    if (error)
      return error;
  }
  return Error::success();
}

static const Node *member(const Node &node, StringRef key) {
  for (auto &entry : node.members)
    if (entry.key == key)
      return &entry.value;
  return nullptr;
}

/// Whether the machine is known to be a processor, which starts its own code.
static bool isProcessor(const Machine &machine) {
  const auto *family = find_if(families(), [&](const Family *each) { return each->name() == machine.family; });
  return family != families().end() && !(*family)->runsOnDevice();
}

static Expected<Machine> parse(StringRef text, StringRef file, function_ref<Expected<std::string>(StringRef)> lookup,
                               std::vector<std::string> &inheriting) {
  Position position;
  TreeBuilder builder(position);
  bool good = nlohmann::json::sax_parse(CountingIterator{text.begin(), &position},
                                        CountingIterator{text.end(), &position}, &builder);
  if (!good)
    return createStringError(formatv("{0}:{1}", file, builder.error).str());
  const Node &root = builder.root;
  if (root.kind != Node::Object)
    return createStringError(
        formatv("{0}:{1}: expected an object, found {2}", file, root.line, kindName(root.kind)).str());
  const Node *name = member(root, "name");
  if (!name || name->kind != Node::String || name->text.empty())
    return createStringError(formatv("{0}:{1}: a machine needs a \"name\"", file, root.line).str());
  if (!all_of(name->text, [](char c) { return isAlnum(c) || StringRef("-_.+").contains(c); }))
    return createStringError(
        formatv("{0}:{1}: expected a \"name\" of letters, digits and -_.+, found \"{2}\"", file, name->line, name->text)
            .str());

  Machine machine;
  if (const Node *base = member(root, "inherits"); base && base->kind == Node::String) {
    inheriting.push_back(name->text);
    if (is_contained(inheriting, base->text))
      return createStringError(formatv("{0}:{1}: \"{2}\" inherits itself: {3} -> {2}", file, base->line, base->text,
                                       join(inheriting, " -> "))
                                   .str());
    if (StringRef(base->text).ends_with(".json") || base->text == "host")
      return createStringError(
          formatv("{0}:{1}: can not inherit \"{2}\": expected a registered target, such as generic", file, base->line,
                  base->text)
              .str());
    Expected<std::string> inherited = lookup(base->text);
    if (!inherited)
      return createStringError(
          formatv("{0}:{1}: can not inherit: {2}", file, base->line, toString(inherited.takeError())).str());
    Expected<Machine> parsed = parse(*inherited, base->text + ".json", lookup, inheriting);
    if (!parsed)
      return parsed.takeError();
    machine = std::move(*parsed);
  }
  machine.name = name->text;
  if (Error error = Reader(file, machine).read(root))
    return std::move(error);
  static constexpr std::pair<StringRef, StringRef> kOfDevices[] = {
      {"host", "the target of the code that starts a device's kernels"},
      {"portable", "the target whose code later devices run"}};
  for (auto [key, meaning] : kOfDevices)
    if (const Node *node = member(root, key); node && isProcessor(machine))
      return createStringError(formatv("{0}:{1}: \"{2}\" is {3}, and a machine of family \"{4}\" is a processor: "
                                       "leave the key out",
                                       file, node->line, key, meaning, machine.family)
                                   .str());
  return machine;
}

Expected<Machine> qlow::parseMachine(StringRef text, StringRef fileName,
                                     function_ref<Expected<std::string>(StringRef)> lookup) {
  std::vector<std::string> inheriting;
  Expected<Machine> machine = parse(text, fileName, lookup, inheriting);
  if (!machine)
    return machine;
  auto missing = [&](StringRef key) {
    return createStringError(
        formatv("{0}:1: machine \"{1}\" has no \"{2}\", neither its own nor inherited", fileName, machine->name, key)
            .str());
  };
  if (machine->family.empty())
    return missing("family");
  if (machine->triple.empty())
    return missing("triple");
  if (machine->vectorBits < 64 || machine->vectorRegisters < 8)
    return missing("registers");
  if (machine->cores < 1)
    return createStringError(formatv("{0}:1: expected machine \"{1}\" to have at least 1 core, found {2}", fileName,
                                     machine->name, machine->cores)
                                 .str());
  if (machine->clockGHz == 0)
    return missing("clock_ghz");
  for (StringRef level : {"l1", "l2"})
    if (machine->levelBytes(level) == 0)
      return missing(("levels\" entry \"" + level).str());
  for (unsigned i = 0; i < kNumResources; ++i)
    if (machine->capacity[i] == 0)
      return missing(("capacity\" entry \"" + resourceName(static_cast<Resource>(i))).str());
  return machine;
}

std::string qlow::printMachine(const Machine &machine) {
  nlohmann::ordered_json json;
  json["name"] = machine.name;
  json["description"] = machine.description;
  json["family"] = machine.family;
  json["triple"] = machine.triple;
  json["tune"] = machine.tune;
  if (!isProcessor(machine)) {
    json["host"] = machine.host;
    if (!machine.portable.empty())
      json["portable"] = machine.portable;
  }
  json["features"] = machine.features;
  json["clock_ghz"] = machine.clockGHz;
  json["cores"] = machine.cores;
  json["registers"] = {{"vector_bits", machine.vectorBits}, {"vectors", machine.vectorRegisters}};
  for (const Machine::Level &level : machine.levels)
    json["levels"][level.name] = level.bytes;
  for (unsigned i = 0; i < kNumResources; ++i)
    json["capacity"][resourceName(static_cast<Resource>(i)).str()] = machine.capacity[i];
  if (machine.residents.warps)
    for (const ResidentsKey &key : kResidentsKeys)
      json["residents"][key.name.str()] = machine.residents.*key.value;
  return json.dump(2) + "\n";
}

bool Machine::hasFeature(StringRef feature) const { return is_contained(features, feature); }

int64_t Machine::levelBytes(StringRef level) const {
  for (const Level &candidate : levels)
    if (candidate.name == level)
      return candidate.bytes;
  return 0;
}

StringRef qlow::resourceName(Resource resource) {
  static constexpr StringRef kNames[kNumResources] = {"memory", "l2", "load", "multiply", "alu", "shuffle"};
  return kNames[static_cast<unsigned>(resource)];
}
