// The backend of a model, with its kernels checked on a sample of that model.
#pragma once

#include <memory>

#include "backend/registry.h"
#include "engine/engine.h"
#include "io/gguf.h"
#include "ops/backend.h"

namespace ferrum {

// One matrix of each weight type that the model multiplies with, a norm, and the shape of its attention. Views into the
// file, which must be one that bind_weights accepts.
ParitySample parity_sample(const Gguf& file, const ModelSpec& spec, const EngineOptions& options);

// Backend, instruction set, threads, step size and layout of weights from the options.
BackendConfig backend_config(const EngineOptions& options);

// The same with the gate. The errors of the file's specification and of
// make_backend.
Result<std::unique_ptr<Backend>> make_model_backend(const Gguf& file, const EngineOptions& options);

// What the gate refused is worth a line each in the log: something is wrong with this machine or this build.
void report_rejected(const std::vector<KernelChoice>& kernels);

}  // namespace ferrum
