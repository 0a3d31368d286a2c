// Input embeddings as a client sends them: base64 of a safetensors file with one tensor.
//
// vLLM, whose field this is, reads what torch.save wrote, a pickle, which can make its reader do anything. Here nothing
// is read but a JSON header and numbers, and nothing that the header says is believed before it was compared with the
// number of bytes that are there. https://huggingface.co/docs/safetensors: "Format".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "apps/server/json_reader.h"
#include "base/status.h"

namespace ferrum {

// The tensor's rows, [tokens, hidden_size] row-major with at least one row. Refuses (kInvalidArgument, with the reason)
// all but one tensor of F32, F16 or BF16 of that width and finite numbers. Memory: at most three times that of the
// text.
Result<std::vector<float>> read_prompt_embeds(std::string_view base64, int64_t hidden_size, const JsonLimits& limits);

}  // namespace ferrum
