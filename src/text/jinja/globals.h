// The functions a template finds without being given them: range, dict, namespace, raise_exception, strftime_now.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// What the message of a Status from raise_exception() starts with.
inline constexpr std::string_view kRaisedPrefix = "the chat template refuses this conversation: ";

Status add_globals(Runtime& runtime, Scope& scope);

// strftime in the C locale: the conversions of C99 with the flags - _ 0 ^ #. An unknown one stays as it is written.
std::string format_time(std::string_view format, const std::tm& time);

}  // namespace ferrum::jinja
