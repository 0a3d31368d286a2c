// Logits of one sequence into a NumPy file, for parity work: `ferrum logits`.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"

namespace ferrum {

// Writes float32 [tokens.size(), vocab] to out_path, a step at a time: memory does not grow with the sequence. Errors
// as compute_logits, and kIo for the file.
Status write_logits_npy(const std::string& model_path, const EngineOptions& options, const std::vector<TokenId>& tokens,
                        const std::string& out_path);

}  // namespace ferrum
