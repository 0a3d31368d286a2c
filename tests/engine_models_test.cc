// The engine over real forward passes: a tiny random model of each family, on every backend and instruction set that
// this machine has. Whatever else is in the batch, however the prompt is cut, and however often a request is preempted,
// it gets the same tokens and, to the bit, the same log-probabilities.
#include <gtest/gtest.h>

#include <random>

#include "models/spec_reader.h"
#include "tests/model_core_for_test.h"

namespace ferrum {
namespace {

constexpr int kRequests = 16, kMaxLength = 120, kBlockSize = 2;

struct Device {
  std::string backend, isa;
};

std::vector<Device> devices() {
  std::vector<Device> all = {{"reference", "auto"}};
  for (const std::string_view isa : isa_choices()) {
    if (isa_available(isa)) all.push_back({"cpu", std::string(isa)});
  }
  return all;
}

// How the engine is set up for one run; what must not matter.
struct Setup {
  int max_seqs, max_batched_tokens, num_blocks;
  // Finds prefixes, and frees what fell out of the window: without that mistral is as short of blocks as the others.
  bool caches = false;
  int resident_experts = 0;  // of a layer; 0 = all
};
constexpr Setup kAlone{1, 512, 100};
constexpr Setup kTogether{kRequests, 48, 1000};
constexpr Setup kShortOfBlocks{kRequests, 48, 90};
constexpr Setup kCaching{kRequests, 48, 1000, true};
constexpr Setup kCachingShortOfBlocks{kRequests, 48, 90, true};

std::unique_ptr<EngineCore> make_core(const std::string& model_name, const Device& device, const Setup& setup) {
  CoreOptions o;
  o.scheduler = {setup.max_seqs, setup.max_batched_tokens, setup.max_seqs + 8, 100};
  o.requests.max_model_len = kMaxLength;
  o.num_blocks = setup.num_blocks;
  o.block_size = kBlockSize;
  o.window = setup.caches ? 1 : 0;  // the model's, if it has one
  o.prefix_cache = setup.caches;
  return model_core(model_name, {device.backend, device.isa, 2, setup.resident_experts}, o, DType::kF16);
}

// 16 requests that differ in everything; the first four are greedy.
std::vector<Request> mixed_requests() {
  std::mt19937_64 rng(2024);
  const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint64_t>(n)); };
  std::vector<Request> requests(kRequests);
  for (int i = 0; i < kRequests; ++i) {
    Request& r = requests[static_cast<size_t>(i)];
    for (int n = 1 + pick(70); n > 0; --n) r.prompt.push_back(static_cast<TokenId>(1 + pick(90)));
    r.stop.max_tokens = 10 + pick(40);
    r.stop.ignore_eos = true;
    r.sampling.seed = rng();
    r.sampling.temperature = i < 4 ? 0.0f : 0.5f + 0.1f * static_cast<float>(i);
    if (i % 4 == 1) r.sampling.top_k = 20;
    if (i % 4 == 2) r.sampling.top_p = 0.9f;
    if (i % 4 == 3) r.sampling.min_p = 0.02f;
    if (i % 5 == 0) r.sampling.repetition_penalty = 1.3f;
    if (i % 3 == 0) r.sampling.logprobs = i % 6;
    r.prompt_logprobs = i == 6 || i == 9;
    if (i % 4 == 0) r.stop.stop = {"abcabcab", "bbbbb"};
  }
  return requests;
}

std::vector<Heard> run_together(EngineCore& core, const std::vector<Request>& requests) {
  std::vector<Heard> heard(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto id = core.submit(requests[i], [&heard, i](Event e) { heard[i](std::move(e)); });
    EXPECT_TRUE(id.is_ok()) << id.status().message();
    if (i % 2 == 0) (void)core.step();  // some join while others run
  }
  while (*core.step()) {
  }
  EXPECT_EQ(core.violations(), std::vector<std::string>{});
  return heard;
}

std::vector<Heard> run_alone(EngineCore& core, const std::vector<Request>& requests) {
  std::vector<Heard> heard;
  for (const Request& r : requests) heard.push_back(run_together(core, {r}).front());
  return heard;
}

bool same_bits(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  const auto equal = [](const TokenLogprob& s, const TokenLogprob& t) {
    return s.token == t.token && s.logprob == t.logprob;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const auto& x, const auto& y) {
    return equal(x.chosen, y.chosen) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), equal);
  });
}

void expect_same(const std::vector<Heard>& got, const std::vector<Heard>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "request " << i);
    EXPECT_EQ(got[i].tokens, expected[i].tokens);
    EXPECT_EQ(got[i].text, expected[i].text);
    EXPECT_EQ(got[i].last.reason, expected[i].last.reason);
    EXPECT_TRUE(same_bits(got[i].logprobs, expected[i].logprobs));
    EXPECT_TRUE(same_bits(got[i].prompt_logprobs, expected[i].prompt_logprobs));
  }
}

class EngineModels : public ::testing::TestWithParam<const char*> {};

TEST_P(EngineModels, AFullBatchGivesWhatEachRequestGetsAlone) {
  const std::vector<Request> requests = mixed_requests();
  for (const Device& device : devices()) {
    SCOPED_TRACE(device.backend + " " + device.isa);
    const auto alone = run_alone(*make_core(GetParam(), device, kAlone), requests);
    const auto core = make_core(GetParam(), device, kTogether);
    expect_same(run_together(*core, requests), alone);
    EXPECT_EQ(core->stats().preemptions, 0u);
  }
}

TEST_P(EngineModels, SoDoesABatchThatIsPreemptedForLackOfBlocks) {
  const std::vector<Request> requests = mixed_requests();
  for (const Device& device : devices()) {
    SCOPED_TRACE(device.backend + " " + device.isa);
    const auto alone = run_alone(*make_core(GetParam(), device, kAlone), requests);
    const auto core = make_core(GetParam(), device, kShortOfBlocks);
    expect_same(run_together(*core, requests), alone);
    EXPECT_GT(core->stats().preemptions, 2u);
  }
}

// Twice, so that in the second run all is in the cache that was not evicted; with and without enough room.
TEST_P(EngineModels, SoDoesWhatIsFoundInThePrefixCache) {
  const std::vector<Request> requests = mixed_requests();
  for (const Device& device : devices()) {
    SCOPED_TRACE(device.backend + " " + device.isa);
    const auto alone = run_alone(*make_core(GetParam(), device, kAlone), requests);
    for (const auto& setup : {kCaching, kCachingShortOfBlocks}) {
      const auto core = make_core(GetParam(), device, setup);
      expect_same(run_together(*core, requests), alone);
      const uint64_t hits = core->stats().prefix_hits;
      expect_same(run_together(*core, requests), alone);
      const bool roomy = setup.num_blocks == kCaching.num_blocks;
      EXPECT_EQ(core->stats().prefix_evictions == 0, roomy);
      if (roomy) {
        EXPECT_GE(core->stats().prefix_hits, hits + kRequests / 2);
      }
    }
  }
}

class EngineModelsWithExperts : public ::testing::TestWithParam<const char*> {};

// Prompts, batches and single tokens over few places for experts, which are read from the file again and again.
TEST_P(EngineModelsWithExperts, ExpertsThatAreReadWhenTheyAreNeededChangeNothing) {
  const std::vector<Request> requests = mixed_requests();
  const Device best{"cpu", "auto"};
  const auto all = run_together(*make_core(GetParam(), best, kTogether), requests);
  const auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/" + GetParam() + ".gguf");
  const RouterSpec router = read_model_spec(**file)->moe->router;
  for (const int places : {router.top_k, router.num_experts - 1}) {
    SCOPED_TRACE(places);
    auto setup = kTogether;
    setup.resident_experts = places;
    const auto core = make_core(GetParam(), best, setup);
    expect_same(run_together(*core, requests), all);
    const ExpertCacheCounts counts = core->stats().expert_cache;
    EXPECT_GT(counts.slots, 0);
    EXPECT_GT(counts.hits, 0);
    EXPECT_GT(counts.misses, counts.slots);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EngineModelsWithExperts,
                         ::testing::Values("qwen3moe", "qwen2moe", "mixtral", "olmoe"),
                         [](const auto& family) { return std::string(family.param); });

INSTANTIATE_TEST_SUITE_P(Families, EngineModels,
                         ::testing::Values("llama3", "qwen2", "qwen3", "mistral", "qwen2moe", "olmoe"),
                         [](const auto& family) { return std::string(family.param); });

}  // namespace
}  // namespace ferrum
