// Chat templates of our own for files that bring none, in Jinja like any other.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace ferrum {

struct BuiltinTemplate {
  std::string_view name;
  // The special tokens that together say a vocabulary was made for this format.
  std::vector<std::string_view> tokens;
  std::string_view source;
};

// In the order in which they are tried; the last one, "plain", needs no token.
std::span<const BuiltinTemplate> builtin_templates();
const BuiltinTemplate* find_builtin_template(std::string_view name);  // nullptr if there is none
const BuiltinTemplate& choose_builtin_template(const std::function<bool(std::string_view)>& has_token);

}  // namespace ferrum
