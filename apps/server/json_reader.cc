#include "apps/server/json_reader.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

std::string position(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const size_t line_begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(lines + 1) + ", column " + std::to_string(offset - line_begin + 1);
}

std::string join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

}  // namespace

Status check_json_limits(std::string_view text, const JsonLimits& limits) {
  struct Open {
    bool object;
    size_t commas;
  };
  std::vector<Open> open;
  size_t values = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
      }
    } else if (c == '{' || c == '[') {
      if (static_cast<int>(open.size()) >= limits.max_depth) {
        return invalid_argument("JSON is nested deeper than " + std::to_string(limits.max_depth) + " levels at " +
                                position(text, i));
      }
      open.push_back({c == '{', 0});
      ++values;
    } else if (c == '}' || c == ']') {
      if (!open.empty()) open.pop_back();
    } else if (c == ',' && !open.empty()) {
      ++values;
      if (open.back().object && ++open.back().commas >= limits.max_members) {
        return invalid_argument("a JSON object has more than " + std::to_string(limits.max_members) + " members at " +
                                position(text, i));
      }
    }
    if (values > limits.max_values) {
      return invalid_argument("JSON has more than " + std::to_string(limits.max_values) + " values");
    }
  }
  return Status::ok();
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  // Bounds what the library will build, before it builds it.
  FERRUM_RETURN_IF_ERROR(check_json_limits(text, limits));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    // The library's text is "[json.exception.parse_error.101] parse error at line 1, column 2: ...".
    const std::string_view what(error.what());
    const size_t end = what.find("] ");
    return invalid_argument("this is not valid JSON: " +
                            std::string(end == std::string_view::npos ? what : what.substr(end + 2)));
  } catch (const Json::exception& error) {  // numbers beyond a double
    const std::string_view what(error.what());
    const size_t end = what.find("] ");
    return invalid_argument("this JSON has a number out of range: " +
                            std::string(end == std::string_view::npos ? what : what.substr(end + 2)));
  }
}

void FirstError::set(std::string param, std::string message, std::string code) {
  if (error_.has_value()) return;
  error_ = ApiError{};
  error_->message = std::move(message);
  error_->param = std::move(param);
  error_->code = std::move(code);
}

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return "a boolean";
    case Json::value_t::string: return "a string";
    case Json::value_t::array: return "an array";
    case Json::value_t::object: return "an object";
    case Json::value_t::number_float: return "a fractional number";
    default: return "an integer";
  }
}

FieldReader::FieldReader(const Json& object, std::string path, FirstError& errors)
    : object_(object), path_(std::move(path)), errors_(errors) {
  if (object_.is_object()) return;
  errors_.set(path_, (path_.empty() ? std::string("the body") : path_) + " must be an object, not " +
                         std::string(kind_of(object_)));
}

std::string FieldReader::path_of(std::string_view name) const { return join(path_, name); }

const Json* FieldReader::find(std::string_view name) {
  asked_.push_back(name);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  errors_.set(path_of(name), path_of(name) + " must be a boolean, not " + std::string(kind_of(*value)));
  return std::nullopt;
}

std::optional<double> FieldReader::number(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
  errors_.set(path_of(name), path_of(name) + " must be a number, not " + std::string(kind_of(*value)));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t low, int64_t high) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const std::string range = " must be an integer from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value->is_number_integer()) {
    errors_.set(path_of(name), path_of(name) + range + ", not " + std::string(kind_of(*value)));
    return std::nullopt;
  }
  const bool fits = !value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  if (fits && value->get<int64_t>() >= low && value->get<int64_t>() <= high) return value->get<int64_t>();
  errors_.set(path_of(name), path_of(name) + range + ", got " + value->dump());
  return std::nullopt;
}

std::optional<uint64_t> FieldReader::seed(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  if (value->is_number_integer()) return static_cast<uint64_t>(value->get<int64_t>());
  errors_.set(path_of(name), path_of(name) + " must be a 64-bit integer, not " + std::string(kind_of(*value)));
  return std::nullopt;
}

std::optional<std::string> FieldReader::string(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  errors_.set(path_of(name), path_of(name) + " must be a string, not " + std::string(kind_of(*value)));
  return std::nullopt;
}

void FieldReader::refuse_unknown(std::span<const std::string_view> ignored) {
  if (!object_.is_object()) return;
  for (const auto& [name, value] : object_.items()) {
    if (value.is_null()) continue;
    if (std::find(asked_.begin(), asked_.end(), name) != asked_.end()) continue;
    if (std::find(ignored.begin(), ignored.end(), name) != ignored.end()) continue;
    errors_.set(path_of(name),
                "unknown field " + path_of(name) + ": Ferrum refuses what it would otherwise have to ignore",
                "unknown_parameter");
    return;
  }
}

}  // namespace ferrum
