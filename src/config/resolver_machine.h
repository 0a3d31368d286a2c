// The choices that this engine adds to those of its model: where it computes, with which kernels, and in how much
// memory. Internal to the resolver.
#pragma once

#include "config/recorder.h"
#include "config/resolver.h"

namespace ferrum {

// Bytes of K and V of a token over all layers in the element type of the KV cache, the draft model's included; nullopt
// where a model does not say.
std::optional<int64_t> kv_bytes_per_token(const ResolverInput& input);

// MiB that the experts get where not all of them have a place in memory, by the setting or because they do not fit;
// nullopt: all have.
std::optional<int64_t> expert_cache_mib(const ResolverInput& input);

// In memory: of the model, with as many of its experts as have a place, and the draft model.
std::optional<int64_t> weight_bytes(const ResolverInput& input);

// Tokens that a sequence may have as far as model and settings go; nullopt where neither says.
std::optional<int64_t> wanted_context(const ResolverInput& input);

// Decides them into `config`, which has the capacity already. Errors as of resolve().
Status decide_machine(const ResolverInput& input, Recorder& record, RunConfig& config);

}  // namespace ferrum
