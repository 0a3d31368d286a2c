// A token's logits have the same bits alone and in company: whatever else is in the step, however the prompt was cut,
// wherever its blocks lie, on one thread or several. For every weight type, on every device of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "models/registry.h"
#include "quant/quantize.h"
#include "runner/compare_for_test.h"
#include "runner/runner.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

constexpr int64_t kHidden = 256, kFfn = 256, kVocab = 64;  // 256: the super-block of the k-quants
constexpr int kHeads = 4, kKvHeads = 2, kLayers = 2, kHeadDim = 64;

constexpr int kExperts = 6, kExpertsPerToken = 2;

// A random Llama whose matrices are of one type; or a Mixtral.
class RandomModel {
 public:
  explicit RandomModel(DType dtype, bool experts = false) : dtype_(dtype) {
    writer_.set_string("general.architecture", "llama");
    writer_.set_uint32("llama.block_count", kLayers);
    writer_.set_uint32("llama.embedding_length", kHidden);
    writer_.set_uint32("llama.feed_forward_length", kFfn);
    writer_.set_uint32("llama.context_length", 512);
    writer_.set_uint32("llama.attention.head_count", kHeads);
    writer_.set_uint32("llama.attention.head_count_kv", kKvHeads);
    writer_.set_float32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (experts) {
      writer_.set_uint32("llama.expert_count", kExperts);
      writer_.set_uint32("llama.expert_used_count", kExpertsPerToken);
    }
    matrix("token_embd.weight", kVocab, kHidden);
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      norm(prefix + "attn_norm.weight");
      norm(prefix + "ffn_norm.weight");
      matrix(prefix + "attn_q.weight", kHeads * kHeadDim, kHidden);
      matrix(prefix + "attn_k.weight", kKvHeads * kHeadDim, kHidden);
      matrix(prefix + "attn_v.weight", kKvHeads * kHeadDim, kHidden);
      matrix(prefix + "attn_output.weight", kHidden, kHeads * kHeadDim);
      const std::string suffix = experts ? "_exps.weight" : ".weight";
      if (experts) matrix(prefix + "ffn_gate_inp.weight", kExperts, kHidden);
      for (const char* role : {"ffn_gate", "ffn_up", "ffn_down"}) {
        const bool down = std::string(role) == "ffn_down";
        matrix(prefix + role + suffix, down ? kHidden : kFfn, down ? kFfn : kHidden, experts ? kExperts : 0);
      }
    }
    norm("output_norm.weight");
  }

  std::shared_ptr<const Gguf> open() const {
    auto bytes = writer_.to_bytes();
    EXPECT_TRUE(bytes.is_ok()) << bytes.status().message();
    std::vector<GgufSource> sources;
    sources.push_back(GgufSource::from_vector("random.gguf", std::move(*bytes)));
    auto file = Gguf::from_sources(std::move(sources));
    EXPECT_TRUE(file.is_ok()) << file.status().message();
    return *file;
  }

 private:
  std::vector<float> normal(int64_t count, float mean, float deviation) {
    std::normal_distribution<float> distribution(mean, deviation);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = distribution(random_);
    return values;
  }
  // One, or with a count so many, stacked.
  void matrix(const std::string& name, int64_t rows, int64_t cols, int64_t count = 0) {
    const int64_t elements = std::max<int64_t>(1, count) * rows * cols;
    const std::vector<float> values = normal(elements, 0, 0.1f);
    storage_.emplace_back(bytes_of(dtype_, elements));
    const Status status = quantize_row(dtype_, values.data(), storage_.back().data(), elements);
    EXPECT_TRUE(status.is_ok()) << status.message();
    const void* data = storage_.back().data();
    add(name, count > 0 ? ConstView(data, dtype_, {count, rows, cols}) : ConstView(data, dtype_, {rows, cols}));
  }
  void norm(const std::string& name) {
    const std::vector<float> values = normal(kHidden, 1, 0.2f);
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    storage_.emplace_back(bytes, bytes + values.size() * sizeof(float));
    add(name, ConstView(storage_.back().data(), DType::kF32, {kHidden}));
  }
  void add(const std::string& name, const ConstView& view) {
    const Status status = writer_.add_tensor(name, view);
    EXPECT_TRUE(status.is_ok()) << status.message();
  }

  DType dtype_;
  std::mt19937 random_{11};
  GgufWriter writer_;
  std::vector<std::vector<std::byte>> storage_;
};

std::unique_ptr<Runner> make_runner(const std::shared_ptr<const Gguf>& file, const std::string& device, int threads) {
  BackendConfig config;
  config.name = device.substr(0, device.find('/'));
  if (device.find('/') != std::string::npos) config.isa = device.substr(device.find('/') + 1);
  config.threads = threads;
  config.limits.max_tokens = 64;
  auto backend = make_backend(config);
  EXPECT_TRUE(backend.is_ok()) << backend.status().message();
  auto model = load_model(file, **backend, {});
  EXPECT_TRUE(model.is_ok()) << model.status().message();
  RunnerOptions options;
  options.max_tokens = options.max_logits = 64;
  options.num_blocks = 64;
  options.block_size = 4;
  auto runner = Runner::create(std::move(*backend), std::move(*model), options);
  EXPECT_TRUE(runner.is_ok()) << runner.status().message();
  return std::move(*runner);
}

std::vector<TokenId> random_tokens(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % kVocab);
  return tokens;
}

std::vector<float> logits_alone(Runner& runner, std::span<const TokenId> tokens, int step) {
  SingleSequence sequence(runner);
  std::vector<float> logits;
  while (!tokens.empty()) {
    const size_t count = std::min(tokens.size(), static_cast<size_t>(step));
    const Status status = sequence.append(tokens.first(count), 0, [&](int, std::span<const float> row) {
      logits.insert(logits.end(), row.begin(), row.end());
      return Status::ok();
    });
    EXPECT_TRUE(status.is_ok()) << status.message();
    tokens = tokens.subspan(count);
  }
  return logits;
}

// Several sequences that advance together by different amounts, their blocks dealt out at random.
class Company {
 public:
  explicit Company(Runner& runner) : runner_(runner), free_(static_cast<size_t>(runner.options().num_blocks)) {
    std::iota(free_.begin(), free_.end(), 0);
    std::shuffle(free_.begin(), free_.end(), random_);
  }
  void add(std::vector<TokenId> tokens) { members_.push_back({std::move(tokens), {}, 0, {}}); }
  // One step in which each member takes up to `most` further tokens; false when all are done.
  bool step(int most) {
    Batch batch;
    batch.cu_q = {0};
    std::vector<Member*> present;
    for (Member& member : members_) {
      const int left = static_cast<int>(member.tokens.size()) - member.length;
      const int count = std::min(left, 1 + static_cast<int>(random_() % static_cast<uint32_t>(most)));
      if (count == 0) continue;
      append(batch, member, count);
      present.push_back(&member);
    }
    if (present.empty()) return false;
    fill_tables(batch, present);
    const auto output = runner_.run(batch);
    EXPECT_TRUE(output.is_ok()) << output.status().message();
    for (size_t i = 0; i < present.size(); ++i) {
      const float* first = output->logits.row<float>(batch.rows[i].logit_begin);
      present[i]->logits.insert(present[i]->logits.end(), first, first + batch.rows[i].logit_count * kVocab);
    }
    return true;
  }
  const std::vector<float>& logits(size_t member) const { return members_[member].logits; }

 private:
  struct Member {
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    int length;
    std::vector<float> logits;
  };

  void append(Batch& batch, Member& member, int count) {
    const int block_size = runner_.options().block_size;
    Row row{.seq = 0,
            .q_begin = batch.num_tokens(),
            .q_len = count,
            .kv_len = member.length + count,
            .logit_begin = batch.num_logits(),
            .logit_count = count};
    for (int i = 0; i < count; ++i, ++member.length) {
      if (member.length % block_size == 0) {
        member.blocks.push_back(free_.back());
        free_.pop_back();
      }
      batch.logit_rows.push_back(batch.num_tokens());
      batch.tokens.push_back(member.tokens[static_cast<size_t>(member.length)]);
      batch.positions.push_back(member.length);
      batch.slots.push_back(member.blocks.back() * block_size + member.length % block_size);
      batch.token_rows.push_back(batch.num_rows());
    }
    batch.rows.push_back(row);
    batch.cu_q.push_back(batch.num_tokens());
    batch.kv_lens.push_back(member.length);
  }
  static void fill_tables(Batch& batch, const std::vector<Member*>& present) {
    for (const Member* member : present) {
      batch.max_blocks = std::max(batch.max_blocks, static_cast<int>(member->blocks.size()));
    }
    for (const Member* member : present) {
      std::vector<BlockId> table = member->blocks;
      table.resize(static_cast<size_t>(batch.max_blocks));
      batch.block_tables.insert(batch.block_tables.end(), table.begin(), table.end());
    }
  }

  Runner& runner_;
  std::mt19937 random_{5};
  std::vector<BlockId> free_;
  std::vector<Member> members_;
};

struct Network {
  DType dtype;
  bool experts;
};

class BatchInvariance : public ::testing::TestWithParam<Network> {
 protected:
  void check(const std::string& device, const std::vector<float>& oracle) {
    const auto runner = make_runner(file_, device, 2);
    std::vector<std::vector<float>> alone;
    for (const auto& prompt : prompts_) alone.push_back(logits_alone(*runner, prompt, 64));
    EXPECT_EQ(alone[0], logits_alone(*runner, prompts_[0], 1)) << "token by token";
    EXPECT_EQ(alone[0], logits_alone(*runner, prompts_[0], 7)) << "by sevens";

    Company company(*runner);
    for (const auto& prompt : prompts_) company.add(prompt);
    while (company.step(6)) {
    }
    for (size_t i = 0; i < prompts_.size(); ++i) EXPECT_EQ(alone[i], company.logits(i)) << "in company";

    EXPECT_EQ(alone[0], logits_alone(*make_runner(file_, device, 1), prompts_[0], 64)) << "on one thread";
    // Loose on purpose: integer dot products round the activations to 8 bits. That it is the right network is
    // parity_test's proof, the bound of the rounding the backend's tests'.
    // And they may tip a router whose logits lie close together.
    if (GetParam().experts && info(GetParam().dtype).quantized) return;
    const auto [low, high] = std::minmax_element(oracle.begin(), oracle.end());
    EXPECT_LT(max_difference(alone[0], oracle), 0.05f * (*high - *low)) << "near the reference";
  }

  const std::shared_ptr<const Gguf> file_ = RandomModel(GetParam().dtype, GetParam().experts).open();
  const std::vector<std::vector<TokenId>> prompts_ = {random_tokens(37, 1), random_tokens(5, 2), random_tokens(21, 3)};
};

TEST_P(BatchInvariance, AloneInChunksAndInCompanyTheSameBits) {
  const std::vector<float> oracle = logits_alone(*make_runner(file_, "reference", 1), prompts_[0], 64);
  std::vector<std::string> devices = {"reference"};
  for (std::string_view isa : isa_choices()) {
    if (isa_available(isa)) devices.push_back("cpu/" + std::string(isa));
  }
  for (const std::string& device : devices) {
    SCOPED_TRACE(device);
    check(device, oracle);
  }
}

std::vector<Network> networks() {
  std::vector<Network> all;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                            DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
                            DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4}) {
    all.push_back({dtype, false});
  }
  // Each type of expert is tested beside the backend; here, that their network keeps rows apart.
  for (const DType dtype : {DType::kF32, DType::kQ8_0, DType::kQ4_K}) all.push_back({dtype, true});
  return all;
}

INSTANTIATE_TEST_SUITE_P(WeightTypes, BatchInvariance, ::testing::ValuesIn(networks()), [](const auto& instance) {
  return std::string(to_string(instance.param.dtype)) + (instance.param.experts ? "_experts" : "");
});

}  // namespace
}  // namespace ferrum
