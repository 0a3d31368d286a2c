// What the user calls MODEL to the file that holds it.
#pragma once

#include <string>

#include "base/status.h"

namespace ferrum {

// A .gguf file (any part of a split one), or a directory with exactly one GGUF model in it (all parts of a split model
// count as one): the file to open. kNotFound when there is nothing, kInvalidArgument when there are several,
// kUnsupported for a Hugging Face checkpoint.
Result<std::string> resolve_model_path(const std::string& model);

// The name a model goes by: the file's without ".gguf" and without the numbers of a split part.
std::string model_name_of(const std::string& path);

}  // namespace ferrum
