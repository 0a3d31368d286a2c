#include "config/moe_profile.h"

#include "base/check.h"
#include "config/parse.h"

namespace ferrum {
namespace {

std::optional<int64_t> size_of(const Settings& settings, std::string_view key) {
  const auto text = settings.get_text(key);
  if (!text) return std::nullopt;
  const Result<int64_t> size = parse_int(*text, 8, 64);
  FERRUM_CHECK(size.is_ok(), "the choices of a block size are numbers");
  return *size;
}

}  // namespace

MoeProfile resolve_moe_profile(const Settings& settings) {
  MoeProfile p;
  p.blocks.block_size = size_of(settings, "FERRUM_MOE_BLOCK_SIZE");
  p.blocks.large_m_block_size = size_of(settings, "FERRUM_MOE_LARGE_M_BLOCK_SIZE");
  p.blocks.large_m_min_pairs = settings.get_int("FERRUM_MOE_LARGE_M_MIN_PAIRS").value_or(p.blocks.large_m_min_pairs);
  p.batched = settings.get_bool("FERRUM_MOE_BATCHED").value_or(p.batched);
  p.batch_threshold = settings.get_int("FERRUM_MOE_BATCH_THRESHOLD").value_or(p.batch_threshold);
  p.unified_prefill = settings.get_bool("FERRUM_QWEN_UNIFIED_PREFILL").value_or(p.unified_prefill);
  p.host_route = settings.get_bool("FERRUM_MOE_HOST_ROUTE").value_or(false);
  p.zero_workspace = settings.get_bool("FERRUM_VLLM_MOE_ZERO_WS").value_or(false);
  p.profile = settings.get_bool("FERRUM_MOE_PROFILE").value_or(false);
  p.load_trace = settings.get_bool("FERRUM_MOE_LOAD_TRACE").value_or(false);
  p.unified_trace = settings.get_bool("FERRUM_QWEN_UNIFIED_TRACE").value_or(false);
  return p;
}

}  // namespace ferrum
