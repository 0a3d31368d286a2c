#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/logits_file.h"
#include "engine/npy.h"
#include "engine/single_model.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

constexpr int64_t kMaxLogitBytes = int64_t{4} << 30;  // of the result in memory; larger ones go to a file

Result<SingleModel> open_for(const std::string& model_path, const EngineOptions& options,
                             const std::vector<TokenId>& tokens) {
  if (tokens.empty()) return invalid_argument("no tokens were given; logits need at least one");
  return open_single_model(model_path, options, {.context = static_cast<int64_t>(tokens.size())}, {});
}

}  // namespace

Result<std::vector<float>> compute_logits(const std::string& model_path, const EngineOptions& options,
                                          const std::vector<TokenId>& tokens) {
  FERRUM_ASSIGN_OR_RETURN(const SingleModel single, open_for(model_path, options, tokens));
  const int64_t vocab = single.runner->model().spec().vocab_size;
  const int64_t numbers = static_cast<int64_t>(tokens.size()) * vocab;
  if (numbers * static_cast<int64_t>(sizeof(float)) > kMaxLogitBytes) {
    return capacity_exceeded("logits of " + std::to_string(tokens.size()) + " tokens over a vocabulary of " +
                             std::to_string(vocab) + " are more than 4 GiB; give fewer tokens or write them to a file");
  }
  std::vector<float> logits;
  logits.reserve(static_cast<size_t>(numbers));
  FERRUM_RETURN_IF_ERROR(SingleSequence(*single.runner).append(tokens, 0, [&](int, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
    return Status::ok();
  }));
  return logits;
}

Status write_logits_npy(const std::string& model_path, const EngineOptions& options, const std::vector<TokenId>& tokens,
                        const std::string& out_path) {
  FERRUM_ASSIGN_OR_RETURN(const SingleModel single, open_for(model_path, options, tokens));
  const int64_t vocab = single.runner->model().spec().vocab_size;
  FERRUM_ASSIGN_OR_RETURN(auto file, NpyWriter::create(out_path, static_cast<int64_t>(tokens.size()), vocab));
  FERRUM_RETURN_IF_ERROR(SingleSequence(*single.runner).append(tokens, 0, [&](int, std::span<const float> row) {
    return file.write_row(row);
  }));
  return file.finish();
}

}  // namespace ferrum
