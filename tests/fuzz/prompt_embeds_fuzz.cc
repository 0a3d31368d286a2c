// Any bytes as a file of input embeddings, and as the base64 around one. What is accepted is whole rows of finite
// numbers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#include "apps/server/base64.h"
#include "apps/server/prompt_embeds.h"
#include "base/check.h"

namespace ferrum {
namespace {

constexpr int64_t kHidden = 4;

void read(std::string_view base64) {
  const auto rows = read_prompt_embeds(base64, kHidden, {});
  if (!rows.is_ok()) return;
  FERRUM_CHECK(!rows->empty() && rows->size() % kHidden == 0, "accepted embeddings are whole rows");
  FERRUM_CHECK(std::ranges::all_of(*rows, [](float x) { return std::isfinite(x); }), "accepted numbers are finite");
}

}  // namespace
}  // namespace ferrum

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrum;
  read({reinterpret_cast<const char*>(data), size});
  read(to_base64(std::as_bytes(std::span(data, size))));
  return 0;
}
