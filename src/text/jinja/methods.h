// Methods of strings, lists and dicts that a template may call; there is no way to anything else of an object.
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// Null when the object has no such method.
MethodBody find_method(const Value& object, std::string_view name);

// The tables behind it.
MethodBody find_string_method(std::string_view name);
MethodBody find_container_method(const Value& object, std::string_view name);

}  // namespace ferrum::jinja
