#include "text/jinja/filters.h"

namespace ferrum::jinja {
namespace {

FilterBody find_filter(std::string_view name) {
  for (const auto find : {find_text_filter, find_number_filter, find_sequence_filter, find_selection_filter}) {
    if (const FilterBody body = find(name)) return body;
  }
  return nullptr;
}

}  // namespace

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Result<Value> apply_filter(Runtime& runtime, std::string_view name, const Value& input, CallArgs& args) {
  const FilterBody body = find_filter(name);
  if (body == nullptr) return invalid_argument("there is no filter '" + std::string(name) + "'");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  return body(runtime, input, args);
}

}  // namespace ferrum::jinja
