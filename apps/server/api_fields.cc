#include "apps/server/api_fields.h"

#include "types/queue_policy.h"

namespace ferrum {
namespace {

std::optional<double> read_seconds(FieldReader& fields, std::string_view name) {
  const auto seconds = fields.number(name);
  if (seconds && !(*seconds > 0 && *seconds <= kMaxTimeoutSeconds)) {
    fields.errors().set(std::string(name), std::string(name) + " must be a number of seconds above 0 and at most " +
                                               std::to_string(kMaxTimeoutSeconds));
  }
  return seconds;
}

// Appends the ids of an array that is found at `path`, up to the first entry that is none and sets the error.
void append_token_ids(FieldReader& fields, const Json& list, const std::string& path, std::vector<TokenId>& tokens) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i].get<uint64_t>() > INT32_MAX) {
      const std::string where = path + "[" + std::to_string(i) + "]";
      return fields.errors().set(where, where + " must be a token id");
    }
    tokens.push_back(static_cast<TokenId>(list[i].get<uint64_t>()));
  }
}

}  // namespace

void read_model_and_queueing(FieldReader& fields, const ApiLimits& limits, GenerationParams& params) {
  if (const auto model = fields.string("model")) {
    params.model = *model;
    if (model->empty()) fields.errors().set("model", "model must not be empty");
  }
  params.priority = static_cast<int>(fields.integer("priority", -kMaxPriority, kMaxPriority).value_or(0));
  params.timeout_seconds = read_seconds(fields, "timeout").value_or(0);
  params.queue_timeout_seconds = read_seconds(fields, "queue_timeout").value_or(0);
  const auto salt = fields.string("cache_salt");
  if (!salt) return;
  if (salt->empty() || salt->size() > limits.max_cache_salt_bytes) {
    fields.errors().set("cache_salt", "cache_salt must have 1 to " + std::to_string(limits.max_cache_salt_bytes) +
                                          " bytes, got " + std::to_string(salt->size()));
  }
  params.cache_salt = *salt;
}

void read_token_list(FieldReader& fields, std::string_view name, int limit, std::vector<TokenId>& tokens) {
  const Json* value = fields.find(name);
  if (value == nullptr) return;
  const std::string path = fields.path_of(name);
  if (!value->is_array()) return fields.errors().set(path, path + " must be an array of token ids");
  if (value->size() > static_cast<size_t>(limit)) {
    return fields.errors().set(path, path + " has " + std::to_string(value->size()) + " entries; at most " +
                                         std::to_string(limit) + " are allowed");
  }
  append_token_ids(fields, *value, path, tokens);
}

void read_prompts(FieldReader& fields, std::string_view name, const ApiLimits& limits, std::vector<Prompt>& prompts) {
  const std::string field(name);
  const Json* value = fields.find(name);
  if (value == nullptr) return fields.errors().set(field, field + " is missing");
  const auto token_list = [&](const Json& list, const std::string& path) {
    std::vector<TokenId> tokens;
    append_token_ids(fields, list, path, tokens);
    prompts.emplace_back(std::move(tokens));
  };
  if (value->is_string()) return prompts.emplace_back(value->get<std::string>()), void();
  if (!value->is_array() || value->empty()) {
    return fields.errors().set(field, field +
                                          " must be a string, an array of strings, an array of token ids or an array "
                                          "of such arrays, and not empty");
  }
  if (value->front().is_number()) return token_list(*value, field);
  if (value->size() > static_cast<size_t>(limits.max_prompts)) {
    return fields.errors().set(field, field + " has " + std::to_string(value->size()) + " entries; at most " +
                                          std::to_string(limits.max_prompts) + " are allowed");
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    const std::string path = field + "[" + std::to_string(i) + "]";
    if (entry.is_string() && value->front().is_string()) {
      prompts.emplace_back(entry.get<std::string>());
    } else if (entry.is_array() && value->front().is_array()) {
      token_list(entry, path);
    } else {
      return fields.errors().set(path, path + " is " + std::string(kind_of(entry)) +
                                           "; all must be strings or all must be arrays of token ids");
    }
  }
}

}  // namespace ferrum
