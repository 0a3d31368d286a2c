#include "apps/server/api_embedding.h"

#include <array>
#include <bit>
#include <cmath>

#include "apps/server/api_fields.h"
#include "apps/server/base64.h"
#include "base/check.h"

namespace ferrum {
namespace {

using namespace std::string_view_literals;

constexpr std::array kHarmlessOfEmbeddings = {"user"sv};

static_assert(std::endian::native == std::endian::little, "clients read little-endian numbers");

// One of two names, the first being the default.
bool second_of(FieldReader& fields, const char* name, std::string_view first, std::string_view second) {
  const auto value = fields.string(name);
  if (!value || *value == first) return false;
  if (*value != second) {
    fields.errors().set(name, std::string(name).append(" must be \"").append(first).append("\" or \"").append(second) +
                                  "\", not \"" + value->substr(0, 40) + "\"");
  }
  return true;
}

class EmbeddingFormat : public ResponseFormat {
 public:
  EmbeddingFormat(std::string model, const EmbeddingRequest& request)
      : model_(std::move(model)),
        normalize_(request.normalize),
        base64_(request.base64),
        rows_(request.inputs.size()) {}

  std::vector<Json> chunks(size_t, const Event&) override { return no_stream(), std::vector<Json>(); }
  Json usage_chunk(const UsageTotals&) const override { return no_stream(), Json(); }

  void add(size_t choice, const Event& event) override {
    if (!event.hidden.empty()) rows_[choice] = normalize_ ? normalized(event.hidden) : event.hidden;
  }

  Json whole(const UsageTotals& usage) const override {
    Json data = Json::array();
    for (size_t i = 0; i < rows_.size(); ++i) {
      data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", written(rows_[i])}});
    }
    return {{"object", "list"},
            {"data", std::move(data)},
            {"model", model_},
            {"usage", {{"prompt_tokens", usage.prompt_tokens}, {"total_tokens", usage.prompt_tokens}}}};
  }

 private:
  static void no_stream() { FERRUM_CHECK(false, "embeddings are no stream"); }
  static std::vector<float> normalized(std::vector<float> row) {
    double square = 0;
    for (const float x : row) square += static_cast<double>(x) * static_cast<double>(x);
    if (square == 0) return row;
    for (float& x : row) x = static_cast<float>(static_cast<double>(x) / std::sqrt(square));
    return row;
  }
  Json written(const std::vector<float>& row) const {
    if (base64_) return to_base64(std::as_bytes(std::span(row)));
    return row;
  }

  const std::string model_;
  const bool normalize_, base64_;
  std::vector<std::vector<float>> rows_;
};

}  // namespace

std::variant<EmbeddingRequest, ApiError> parse_embedding_request(const Json& body, const ApiLimits& limits) {
  FirstError errors;
  FieldReader fields(body, "", errors);
  EmbeddingRequest request;
  request.params.stop.max_tokens = 0;
  read_prompts(fields, "input", limits, request.inputs);
  read_model_and_queueing(fields, limits, request.params);
  if (second_of(fields, "pooling", "last", "mean")) request.pooling = HiddenPositions::kMean;
  request.base64 = second_of(fields, "encoding_format", "float", "base64");
  request.normalize = fields.boolean("normalize").value_or(true);
  request.dimensions = fields.integer("dimensions", 1, INT32_MAX);
  fields.refuse_unknown(kHarmlessOfEmbeddings);
  if (errors) return *errors;
  return request;
}

std::optional<ApiError> check_dimensions(const EmbeddingRequest& request, int64_t hidden_size) {
  if (!request.dimensions || *request.dimensions == hidden_size) return std::nullopt;
  ApiError error;
  error.message = "dimensions is " + std::to_string(*request.dimensions) + ", but this model's embeddings have " +
                  std::to_string(hidden_size) + " and are not shortened: leave it out";
  error.param = "dimensions";
  error.code = "unsupported_value";
  return error;
}

std::unique_ptr<ResponseFormat> make_embedding_format(std::string model, const EmbeddingRequest& request) {
  return std::make_unique<EmbeddingFormat>(std::move(model), request);
}

}  // namespace ferrum
