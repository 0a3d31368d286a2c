#include "text/jinja/value.h"

#include <cmath>

#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

constexpr size_t kStringOverhead = sizeof(StringObject) + 32;  // and the control block, roughly
}  // namespace

StringObject::StringObject(std::string content, Budget* budget_or_null)
    : text(std::move(content)), length(count_code_points(text)), budget(budget_or_null) {
  if (budget != nullptr) budget->used += text.size() + kStringOverhead;
}

StringObject::~StringObject() {
  if (budget != nullptr) budget->used -= text.size() + kStringOverhead;
}

Sequence* Value::sequence() const {
  Object* o = object();
  if (o == nullptr) return nullptr;
  switch (o->kind) {
    case ObjectKind::kList:
    case ObjectKind::kTuple:
    case ObjectKind::kRange:
    case ObjectKind::kGenerator:
    case ObjectKind::kView: return static_cast<Sequence*>(o);
    default: return nullptr;
  }
}

Dict* Value::dict() const { return is_object(ObjectKind::kDict) ? static_cast<Dict*>(object()) : nullptr; }

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_bool()) return boolean();
  if (is_int()) return integer() != 0;
  if (is_float()) return real() != 0.0;
  if (is_string()) return !text().empty();
  if (is_object(ObjectKind::kGenerator)) return true;
  if (const Sequence* items = sequence()) return !items->items.empty();
  if (const Dict* entries = dict()) return !entries->entries().empty();
  return true;
}

std::string_view Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_bool()) return "bool";
  if (is_int()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  switch (object()->kind) {
    case ObjectKind::kList: return "list";
    case ObjectKind::kTuple: return "tuple";
    case ObjectKind::kRange: return "range";
    case ObjectKind::kGenerator: return "generator";
    case ObjectKind::kView: return "dict view";
    case ObjectKind::kDict: return "dict";
    case ObjectKind::kNamespace: return "Namespace";
    case ObjectKind::kLoop: return "LoopContext";
    case ObjectKind::kMacro: return "Macro";
    case ObjectKind::kFunction: return "function";
    case ObjectKind::kMethod: return "method";
  }
  return "object";
}

bool is_hashable(const Value& value) {
  if (value.object() == nullptr) return true;
  if (!value.is_object(ObjectKind::kTuple)) return false;
  for (const Value& item : value.sequence()->items) {
    if (item.object() != nullptr) return false;
  }
  return true;
}

size_t hash_key(const Value& key) {
  if (key.is_string()) return std::hash<std::string_view>()(key.text());
  if (key.is_number()) {
    const double number = key.number();  // equal numbers of different types must meet
    return std::hash<double>()(number == 0.0 ? 0.0 : number);
  }
  if (!key.is_object(ObjectKind::kTuple)) return 0x9E37;
  size_t hash = 0x345678;
  for (const Value& item : key.sequence()->items) hash = hash * 1000003 ^ hash_key(item);
  return hash;
}

bool equal_keys(const Value& a, const Value& b) {
  if (a.is_string() || b.is_string()) return a.is_string() && b.is_string() && a.text() == b.text();
  if (a.is_number() || b.is_number()) {
    if (!a.is_number() || !b.is_number()) return false;
    if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
    return a.number() == b.number();
  }
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (!a.is_object(ObjectKind::kTuple) || !b.is_object(ObjectKind::kTuple)) return a.object() == b.object();
  const auto& left = a.sequence()->items;
  const auto& right = b.sequence()->items;
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (!equal_keys(left[i], right[i])) return false;
  }
  return true;
}

size_t Dict::locate(const Value& key) const {
  if (entries_.size() < kIndexFrom) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (equal_keys(entries_[i].first, key)) return i;
    }
    return kAbsent;
  }
  const auto [begin, end] = index_.equal_range(hash_key(key));
  for (auto it = begin; it != end; ++it) {
    if (equal_keys(entries_[it->second].first, key)) return it->second;
  }
  return kAbsent;
}

void Dict::rebuild_index() {
  index_.clear();
  if (entries_.size() < kIndexFrom) return;
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash_key(entries_[i].first), i);
}

const Value* Dict::find(const Value& key) const {
  const size_t at = locate(key);
  return at == kAbsent ? nullptr : &entries_[at].second;
}

const Value* Dict::find(std::string_view key) const {
  if (entries_.size() < kIndexFrom) {
    for (const auto& [name, value] : entries_) {
      if (name.is_string() && name.text() == key) return &value;
    }
    return nullptr;
  }
  const auto [begin, end] = index_.equal_range(std::hash<std::string_view>()(key));
  for (auto it = begin; it != end; ++it) {
    const auto& [name, value] = entries_[it->second];
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

bool Dict::set(Value key, Value value) {
  const size_t at = locate(key);
  if (at != kAbsent) {
    entries_[at].second = std::move(value);
    return false;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() == kIndexFrom) {
    rebuild_index();
  } else if (entries_.size() > kIndexFrom) {
    index_.emplace(hash_key(entries_.back().first), entries_.size() - 1);
  }
  return true;
}

bool Dict::erase(const Value& key) {
  const size_t at = locate(key);
  if (at == kAbsent) return false;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
  rebuild_index();
  return true;
}

void Dict::clear() {
  entries_.clear();
  index_.clear();
}

}  // namespace ferrum::jinja
