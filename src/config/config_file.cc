#include "config/config_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/quote.h"
#include "config/parse.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace ferrum {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

class TomlReader {
 public:
  TomlReader(const std::string& name, Settings& settings) : name_(name), settings_(settings) {}

  Status read(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string path = prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
      if (const KeySpec* spec = find_toml_key(path)) {
        FERRUM_RETURN_IF_ERROR(set(*spec, node));
      } else if (node.is_table() && is_table_name(path)) {
        FERRUM_RETURN_IF_ERROR(read(*node.as_table(), path));
      } else {
        return at(key.source().begin, unknown(path));
      }
    }
    return Status::ok();
  }

  Status at(const toml::source_position& where, const std::string& what) const {
    return invalid_argument(name_ + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": " +
                            what);
  }

 private:
  static bool is_table_name(std::string_view path) {
    for (const KeySpec& key : all_keys()) {
      if (key.toml.starts_with(path) && key.toml.size() > path.size() && key.toml[path.size()] == '.') return true;
    }
    return false;
  }

  static std::string unknown(const std::string& path) {
    std::string_view nearest;
    int best = 5;
    for (const KeySpec& key : all_keys()) {
      const int distance = edit_distance(path, key.toml);
      if (distance < best) {
        best = distance;
        nearest = key.toml;
      }
    }
    std::string message = "unknown setting " + ferrum::quoted(path);
    if (!nearest.empty()) message += "; did you mean " + std::string(nearest) + "?";
    return message + " docs/configuration.md lists all settings.";
  }

  static const char* type_name(const toml::node& node) {
    switch (node.type()) {
      case toml::node_type::table: return "a table";
      case toml::node_type::array: return "an array";
      case toml::node_type::string: return "a string";
      case toml::node_type::integer: return "an integer";
      case toml::node_type::floating_point: return "a floating-point number";
      case toml::node_type::boolean: return "a boolean";
      default: return "a date or time";
    }
  }

  // The value as the one strict parser reads it; nullopt where the type is wrong.
  static std::optional<std::string> text_of(const KeySpec& key, const toml::node& node) {
    const bool numbers = key.type == KeyType::kChoice && parse_int(key.choices.front(), 0, 1 << 30).is_ok();
    if (key.type == KeyType::kBool && node.is_boolean()) return node.as_boolean()->get() ? "true" : "false";
    const bool takes_integers = key.type == KeyType::kInt || key.type == KeyType::kFloat || numbers;
    if (takes_integers && node.is_integer()) return std::to_string(node.as_integer()->get());
    if (key.type == KeyType::kFloat && node.is_floating_point()) {
      char digits[64];  // shortest form that reads back as the same number
      const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), node.as_floating_point()->get());
      return std::string(digits, error == std::errc() ? end : digits);
    }
    if (key.type == KeyType::kList && node.is_array()) return joined(*node.as_array());
    const bool takes_text = key.type == KeyType::kList || key.type == KeyType::kChoice || key.type == KeyType::kText;
    if (takes_text && node.is_string()) return node.as_string()->get();
    return std::nullopt;
  }

  // nullopt where an element is no string, or has a comma of its own.
  static std::optional<std::string> joined(const toml::array& array) {
    std::string list;
    for (const toml::node& element : array) {
      if (!element.is_string() || element.as_string()->get().find(',') != std::string::npos) return std::nullopt;
      list += (list.empty() ? "" : ",") + element.as_string()->get();
    }
    return list;
  }

  Status set(const KeySpec& key, const toml::node& node) {
    const auto text = text_of(key, node);
    if (!text) {
      return at(node.source().begin,
                std::string(key.toml) + ": expected " + expected(key) + ", found " + type_name(node));
    }
    const Status status = settings_.set(key.name, *text, Source::kConfigFile);
    return status.is_ok() ? status : at(node.source().begin, status.message());
  }

  static std::string expected(const KeySpec& key) {
    switch (key.type) {
      case KeyType::kBool: return "true or false";
      case KeyType::kInt: return "an integer";
      case KeyType::kFloat: return "a number";
      case KeyType::kChoice:
      case KeyType::kText: return "a string";
      case KeyType::kList: return "an array of strings";
    }
    return "another type";
  }

  const std::string& name_;
  Settings& settings_;
};

bool is_file(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

Result<std::string> find_config_file(const std::string& asked) {
  if (!asked.empty()) {
    if (is_file(asked)) return asked;
    return not_found("--config " + asked + ": there is no such file");
  }
  const std::string user = user_config_directory();
  for (const std::string& path : {std::string("ferrum.toml"), user.empty() ? "" : user + "/ferrum/ferrum.toml"}) {
    if (!path.empty() && is_file(path)) return path;
  }
  return std::string();
}

Status apply_toml(std::string_view text, const std::string& name, Settings& settings) {
  TomlReader reader(name, settings);
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return reader.at(parsed.error().source().begin, "malformed TOML: " + printable(parsed.error().description(), 400));
  }
  return reader.read(parsed.table(), "");
}

Status apply_config_file(const std::string& path, Settings& settings) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return io_error("cannot read " + path + ": " + std::strerror(errno));
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return io_error("cannot read " + path);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxBytes) return invalid_argument(path + ": longer than 1 MiB, so it is no configuration");
  return apply_toml(text, path, settings);
}

}  // namespace ferrum
