#include "text/jinja/runtime.h"

#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

Status over_memory() { return invalid_argument("the template uses more memory than a render may"); }

}  // namespace

Runtime::Runtime(RenderOptions options) : options_(std::move(options)) { budget_.limit = options_.limits.memory; }

Status Runtime::charge(size_t steps) {
  if (steps > options_.limits.steps || (steps_ += steps) > options_.limits.steps) {
    return invalid_argument("the template takes more than " + std::to_string(options_.limits.steps) + " steps");
  }
  return Status::ok();
}

Status Runtime::allocate(size_t bytes) {
  if (bytes > budget_.limit || budget_.used + bytes > budget_.limit) return over_memory();
  budget_.used += bytes;
  return Status::ok();
}

Result<Value> Runtime::string(std::string text) {
  FERRUM_RETURN_IF_ERROR(charge(1 + text.size() / 64));
  if (budget_.used + text.size() > budget_.limit) return over_memory();
  return Value(std::make_shared<const StringObject>(std::move(text), &budget_));
}

Result<Value> Runtime::sequence(ObjectKind kind, std::vector<Value> items) {
  FERRUM_RETURN_IF_ERROR(charge(1 + items.size() / 8));
  FERRUM_RETURN_IF_ERROR(allocate(items.size() * sizeof(Value)));
  FERRUM_ASSIGN_OR_RETURN(Sequence * made, make<Sequence>(kind, std::move(items)));
  return Value(made);
}

Result<Value> Runtime::pair(Value first, Value second) {
  std::vector<Value> both;
  both.reserve(2);
  both.push_back(std::move(first));
  both.push_back(std::move(second));
  return tuple(std::move(both));
}

Value Runtime::undefined(std::string hint) {
  return Undefined{std::make_shared<const StringObject>(std::move(hint), &budget_)};
}

Result<Dict*> Runtime::dict(ObjectKind kind) { return make<Dict>(kind); }

Status Runtime::set_entry(Dict& dict, Value key, Value value) {
  if (const Sequence* tuple = key.sequence()) FERRUM_RETURN_IF_ERROR(charge(tuple->items.size()));
  if (!is_hashable(key)) return invalid_argument("unhashable type: '" + std::string(key.type_name()) + "'");
  constexpr size_t kEntryBytes = 2 * sizeof(Value) + 40;  // with its place in the index
  if (dict.set(std::move(key), std::move(value))) return allocate(kEntryBytes);
  return Status::ok();
}

Status Runtime::set_entry(Dict& dict, std::string_view key, Value value) {
  FERRUM_ASSIGN_OR_RETURN(Value name, string(key));
  return set_entry(dict, std::move(name), std::move(value));
}

Status Runtime::append(Sequence& sequence, Value value) {
  FERRUM_RETURN_IF_ERROR(allocate(sizeof(Value)));
  sequence.items.push_back(std::move(value));
  return Status::ok();
}

Result<std::vector<Value>> Runtime::items(const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (Sequence* sequence = value.sequence()) {
    FERRUM_RETURN_IF_ERROR(charge(1 + sequence->items.size() / 8));
    if (sequence->kind == ObjectKind::kGenerator && !is_js()) {
      out.swap(sequence->items);
    } else {
      out = sequence->items;
    }
    return out;
  }
  if (const Dict* dict = value.dict()) {
    FERRUM_RETURN_IF_ERROR(charge(1 + dict->entries().size() / 8));
    out.reserve(dict->entries().size());
    for (const auto& entry : dict->entries()) out.push_back(entry.first);
    return out;
  }
  if (value.is_string()) {
    const std::string_view text = value.text();
    for (size_t pos = 0; pos < text.size();) {
      const size_t start = pos;
      next_code_point(text, pos);
      FERRUM_ASSIGN_OR_RETURN(Value character, string(text.substr(start, pos - start)));
      out.push_back(std::move(character));
    }
    return out;
  }
  return invalid_argument("'" + std::string(value.type_name()) + "' object is not iterable");
}

void TextBuilder::append_code_point(char32_t code_point) {
  std::string bytes;
  append_utf8(bytes, code_point);
  append(bytes);
}

Status TextBuilder::status() const { return full_ ? over_memory() : Status::ok(); }

Result<Value> TextBuilder::finish(Runtime& runtime) {
  FERRUM_RETURN_IF_ERROR(status());
  budget_.used -= charged_;
  charged_ = 0;
  return runtime.string(std::move(text_));
}

Result<BoundArgs> BoundArgs::bind(std::string_view callee, CallArgs& args,
                                  std::initializer_list<std::string_view> names, size_t required) {
  BoundArgs bound;
  bound.callee_ = callee;
  bound.names_ = names;
  bound.values_.resize(names.size());
  if (args.positional.size() > names.size()) {
    return invalid_argument(bound.callee_ + " takes at most " + std::to_string(names.size()) + " arguments, " +
                            std::to_string(args.positional.size()) + " given");
  }
  for (size_t i = 0; i < args.positional.size(); ++i) bound.values_[i] = args.positional[i];
  for (const auto& [name, value] : args.named) {
    size_t i = 0;
    while (i < names.size() && bound.names_[i] != name) ++i;
    if (i == names.size()) return invalid_argument(bound.callee_ + " has no argument '" + name + "'");
    if (bound.has(i)) return invalid_argument(bound.callee_ + " got argument '" + name + "' twice");
    bound.values_[i] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound.has(i)) {
      return invalid_argument(bound.callee_ + " needs the argument '" + std::string(bound.names_[i]) + "'");
    }
  }
  return bound;
}

Result<int64_t> BoundArgs::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (values_[i]->is_integral()) return values_[i]->integer();
  return invalid_argument(callee_ + ": argument '" + std::string(names_[i]) + "' must be an integer, not '" +
                          std::string(values_[i]->type_name()) + "'");
}

Result<std::string_view> BoundArgs::text(size_t i, std::string_view fallback) const {
  if (!has(i)) return fallback;
  if (values_[i]->is_string()) return values_[i]->text();
  return invalid_argument(callee_ + ": argument '" + std::string(names_[i]) + "' must be a string, not '" +
                          std::string(values_[i]->type_name()) + "'");
}

}  // namespace ferrum::jinja
