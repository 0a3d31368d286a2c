// Binding of tensors to roles, and that the ways in which files store the same network compute the same bits. What the
// network computes is proved against Hugging Face in runner/parity_test.cc.
#include "models/decoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/registry.h"
#include "models/edited_model_test_util.h"
#include "models/registry.h"
#include "models/spec_reader.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

std::unique_ptr<Backend> reference() {
  BackendConfig config;
  config.name = "reference";
  auto backend = make_backend(config);
  EXPECT_TRUE(backend.is_ok()) << backend.status().message();
  return std::move(*backend);
}

std::vector<float> logits_of(const EditedModel& edited) {
  auto backend = reference();
  auto model = load_model(edited.open(), *backend, {});
  EXPECT_TRUE(model.is_ok()) << model.status().message();
  if (!model.is_ok()) return {};
  RunnerOptions options;
  options.max_tokens = options.max_logits = 32;
  options.num_blocks = 2;
  options.kv_dtype = DType::kF32;
  auto runner = Runner::create(std::move(backend), std::move(*model), options);
  EXPECT_TRUE(runner.is_ok()) << runner.status().message();
  std::vector<TokenId> tokens(20);
  std::iota(tokens.begin(), tokens.end(), 3);
  SingleSequence sequence(**runner);
  std::vector<float> logits;
  const Status status = sequence.append(tokens, 0, [&](int, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
    return Status::ok();
  });
  EXPECT_TRUE(status.is_ok()) << status.message();
  return logits;
}

void expect_fault(const EditedModel& edited, StatusCode code, std::initializer_list<std::string> words) {
  auto backend = reference();
  const auto model = load_model(edited.open(), *backend, {});
  ASSERT_FALSE(model.is_ok()) << "accepted, though it should name " << *words.begin();
  EXPECT_EQ(model.status().code(), code) << model.status().message();
  for (const std::string& word : words) {
    EXPECT_NE(model.status().message().find(word), std::string::npos)
        << word << " is not in: " << model.status().message();
  }
}

// Stacks F32 tensors of the same width (or vectors) into one.
void fuse(EditedModel& model, std::initializer_list<std::string> names, const std::string& fused) {
  std::vector<float> values;
  int64_t rows = 0;
  bool matrix = false;
  int64_t cols = 0;
  for (const std::string& name : names) {
    const ConstView view = model.tensor(name);
    values.insert(values.end(), view.as<float>(), view.as<float>() + view.elements());
    rows += view.dim(0);
    matrix = view.rank == 2;
    cols = view.cols();
  }
  for (const std::string& name : names) model.remove_tensor(name);
  if (matrix) {
    model.set_tensor(fused, std::move(values), {rows, cols});
  } else {
    model.set_tensor(fused, std::move(values), {rows});
  }
}

std::string blk(int layer, const std::string& rest) { return "blk." + std::to_string(layer) + "." + rest; }

TEST(Decoder, FusedProjectionsComputeTheSameBits) {
  for (const char* name : {"llama3", "qwen2", "qwen3"}) {
    EditedModel model(name);
    const std::vector<float> split = logits_of(model);
    for (int layer : {0, 1}) {
      fuse(model, {blk(layer, "attn_q.weight"), blk(layer, "attn_k.weight"), blk(layer, "attn_v.weight")},
           blk(layer, "attn_qkv.weight"));
      if (std::string(name) == "qwen2") {
        fuse(model, {blk(layer, "attn_q.bias"), blk(layer, "attn_k.bias"), blk(layer, "attn_v.bias")},
             blk(layer, "attn_qkv.bias"));
      }
      // One layer by each of the two names.
      fuse(model, {blk(layer, "ffn_gate.weight"), blk(layer, "ffn_up.weight")},
           blk(layer, layer == 0 ? "ffn_up.weight" : "ffn_gate_up.weight"));
    }
    EXPECT_EQ(split, logits_of(model)) << name;
    EXPECT_EQ(read_model_spec(*model.open())->qkv_bias, std::string(name) == "qwen2");
  }
}

TEST(Decoder, ATiedHeadIsTheEmbedding) {
  EditedModel model("qwen2");
  const std::vector<float> tied = logits_of(model);
  model.set_tensor("output.weight", model.tensor("token_embd.weight"));
  EXPECT_EQ(tied, logits_of(model));
}

TEST(Decoder, EveryBiasIsApplied) {
  EditedModel model("llama3");
  const std::vector<float> plain = logits_of(model);
  for (const auto& [stem, size] : {std::pair("attn_q", 32),
                                   {"attn_k", 16},
                                   {"attn_v", 16},
                                   {"attn_output", 32},
                                   {"ffn_gate", 64},
                                   {"ffn_up", 64},
                                   {"ffn_down", 32}}) {
    EditedModel biased("llama3");
    biased.set_tensor(blk(0, std::string(stem) + ".bias"), std::vector<float>(static_cast<size_t>(size), 0.5f), {size});
    EXPECT_NE(plain, logits_of(biased)) << stem;
  }
  std::vector<float> shifted = logits_of(model.set_tensor("output.bias", std::vector<float>(96, 0.5f), {96}));
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(shifted[i], plain[i] + 0.5f, 1e-5f);
}

TEST(Decoder, MissingTensorsAreNamed) {
  for (const char* name : {"blk.1.attn_norm.weight", "blk.1.attn_q.weight", "blk.1.attn_k.weight",
                           "blk.1.attn_v.weight", "blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight",
                           "blk.1.attn_output.weight", "blk.1.ffn_norm.weight", "blk.1.ffn_gate.weight",
                           "blk.1.ffn_up.weight", "blk.1.ffn_down.weight", "output_norm.weight", "token_embd.weight"}) {
    expect_fault(EditedModel("qwen3").remove_tensor(name), StatusCode::kNotFound, {name, "edited.gguf"});
  }
}

TEST(Decoder, WrongShapesNameWantedAndFound) {
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "attn_q.weight"), DType::kF32, {16, 32}), StatusCode::kCorrupt,
               {blk(0, "attn_q.weight"), "[16, 32] F32", "[32, 32]"});
  expect_fault(EditedModel("llama3").set_zeros(blk(1, "ffn_down.weight"), DType::kF32, {64, 32}), StatusCode::kCorrupt,
               {blk(1, "ffn_down.weight"), "[64, 32] F32", "[32, 64]"});
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "attn_norm.weight"), DType::kF32, {31}), StatusCode::kCorrupt,
               {blk(0, "attn_norm.weight"), "[31] F32", "[32]"});
  expect_fault(EditedModel("llama3").set_zeros("output.weight", DType::kF32, {95, 32}), StatusCode::kCorrupt,
               {"output.weight", "[95, 32] F32", "[96, 32]"});
  expect_fault(EditedModel("qwen2").set_zeros(blk(0, "attn_q.bias"), DType::kF32, {16}), StatusCode::kCorrupt,
               {blk(0, "attn_q.bias"), "[16] F32", "[32]"});
  expect_fault(EditedModel("qwen3").set_zeros(blk(0, "attn_k_norm.weight"), DType::kF32, {8}), StatusCode::kCorrupt,
               {blk(0, "attn_k_norm.weight"), "[8] F32", "[16]"});
  // Metadata that promise more than the tensors hold.
  expect_fault(EditedModel("llama3").set_int("llama.feed_forward_length", 128), StatusCode::kCorrupt,
               {"ffn_gate.weight", "[128, 32]"});
  expect_fault(EditedModel("llama3").set_int("llama.block_count", 3), StatusCode::kNotFound,
               {"blk.2.attn_norm.weight"});
}

TEST(Decoder, WrongTypesAreNamed) {
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "attn_q.weight"), DType::kI32, {32, 32}),
               StatusCode::kUnsupported, {blk(0, "attn_q.weight"), "I32"});
  expect_fault(EditedModel("llama3").set_zeros("token_embd.weight", DType::kI8, {96, 32}), StatusCode::kUnsupported,
               {"token_embd.weight", "I8"});
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "attn_norm.weight"), DType::kF16, {32}), StatusCode::kUnsupported,
               {blk(0, "attn_norm.weight"), "F16"});
}

TEST(Decoder, TensorsWithoutAPlaceAreRefused) {
  expect_fault(EditedModel("llama3").set_int("llama.block_count", 1), StatusCode::kUnsupported, {"blk.1."});
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "attn_q_norm.weight"), DType::kF32, {16}),
               StatusCode::kUnsupported, {blk(0, "attn_q_norm.weight"), "no place"});
  expect_fault(EditedModel("llama3").set_zeros(blk(0, "ffn_gate_exps.weight"), DType::kF32, {2, 64, 32}),
               StatusCode::kUnsupported, {blk(0, "ffn_gate_exps.weight")});
  expect_fault(EditedModel("qwen3").set_zeros("evil\x1b]0;name", DType::kF32, {2}), StatusCode::kUnsupported,
               {"'evil\\x1b]0;name'"});
}

// Experts: each role of all experts in one tensor, as the golden files have it; below, the other ways.
constexpr int kExperts = 8;

// A role's stack as one tensor per expert, as files of 2024 have it.
void split_experts(EditedModel& model, int layer, const std::string& role) {
  const std::string stacked = blk(layer, role + "_exps.weight");
  const ConstView stack = model.tensor(stacked);
  for (int64_t e = 0; e < stack.dim(0); ++e) {
    const float* first = stack.as<float>() + e * stack.dim(1) * stack.dim(2);
    model.set_tensor(blk(layer, role + "." + std::to_string(e) + ".weight"),
                     std::vector<float>(first, first + stack.dim(1) * stack.dim(2)), {stack.dim(1), stack.dim(2)});
  }
  model.remove_tensor(stacked);
}

void fuse_expert_gate_up(EditedModel& model, int layer) {
  const ConstView gate = model.tensor(blk(layer, "ffn_gate_exps.weight"));
  const ConstView up = model.tensor(blk(layer, "ffn_up_exps.weight"));
  const int64_t each = gate.dim(1) * gate.dim(2);
  std::vector<float> both;
  for (int64_t e = 0; e < gate.dim(0); ++e) {
    both.insert(both.end(), gate.as<float>() + e * each, gate.as<float>() + (e + 1) * each);
    both.insert(both.end(), up.as<float>() + e * each, up.as<float>() + (e + 1) * each);
  }
  model.set_tensor(blk(layer, "ffn_gate_up_exps.weight"), std::move(both), {gate.dim(0), 2 * gate.dim(1), gate.dim(2)});
  model.remove_tensor(blk(layer, "ffn_gate_exps.weight")).remove_tensor(blk(layer, "ffn_up_exps.weight"));
}

TEST(DecoderExperts, AreTheSameBitsHoweverTheFileKeepsThem) {
  for (const char* name : {"qwen3moe", "qwen2moe", "mixtral", "olmoe"}) {
    EditedModel model(name);
    const std::vector<float> stacked = logits_of(model);
    for (const char* role : {"ffn_gate", "ffn_up", "ffn_down"}) split_experts(model, 0, role);
    fuse_expert_gate_up(model, 1);
    EXPECT_EQ(stacked, logits_of(model)) << name;
  }
}

TEST(DecoderExperts, TheSharedExpertsGateMayBeAMatrixOfOneRow) {
  EditedModel model("qwen2moe");
  const std::vector<float> vector = logits_of(model);
  const std::string name = blk(0, "ffn_gate_inp_shexp.weight");
  const ConstView gate = model.tensor(name);
  ASSERT_EQ(gate.rank, 1);
  model.set_tensor(name, ConstView(gate.data, gate.dtype, {1, gate.dim(0)}));
  EXPECT_EQ(vector, logits_of(model));
}

// What the metadata say about the router takes effect.
TEST(DecoderExperts, RouterSettingsChangeTheLogits) {
  const std::vector<float> plain = logits_of(EditedModel("qwen3moe"));
  EXPECT_EQ(plain, logits_of(EditedModel("qwen3moe").set_bool("qwen3moe.expert_weights_norm", true)));
  EXPECT_EQ(plain, logits_of(EditedModel("qwen3moe").set_float("qwen3moe.expert_weights_scale", 1)));
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe").set_bool("qwen3moe.expert_weights_norm", false)));
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe").set_float("qwen3moe.expert_weights_scale", 2)));
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe").set_int("qwen3moe.expert_gating_func", 2)));
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe").set_int("qwen3moe.expert_used_count", 2)));
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe")
                                 .set_int("qwen3moe.expert_group_count", 4)
                                 .set_int("qwen3moe.expert_group_used_count", 2)));
  std::vector<float> bias(kExperts);
  bias[3] = 10;
  EXPECT_NE(plain, logits_of(EditedModel("qwen3moe").set_tensor(blk(0, "exp_probs_b.bias"), bias, {kExperts})));
}

TEST(DecoderExperts, MissingTensorsAreNamed) {
  for (const char* name :
       {"ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight",
        "ffn_gate_inp_shexp.weight", "ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight"}) {
    expect_fault(EditedModel("qwen2moe").remove_tensor(blk(1, name)), StatusCode::kNotFound, {blk(1, name)});
  }
  EditedModel separate("mixtral");
  split_experts(separate, 1, "ffn_up");
  expect_fault(separate.remove_tensor(blk(1, "ffn_up.2.weight")), StatusCode::kNotFound, {blk(1, "ffn_up.2.weight")});
}

TEST(DecoderExperts, StacksThatDoNotDivideAreNamed) {
  const auto wrong = [](const std::string& name, std::initializer_list<int64_t> shape,
                        std::initializer_list<std::string> words) {
    expect_fault(EditedModel("qwen3moe").set_zeros(name, DType::kF32, shape), StatusCode::kCorrupt, words);
  };
  const std::string gate = blk(1, "ffn_gate_exps.weight"), down = blk(0, "ffn_down_exps.weight");
  wrong(gate, {7, 16, 32}, {gate, "[7, 16, 32] F32", "[8, 16, 32]"});
  wrong(gate, {8 * 16, 32}, {gate, "[128, 32] F32", "[8, 16, 32]"});
  wrong(down, {8, 16, 32}, {down, "[8, 16, 32] F32", "[8, 32, 16]"});
  wrong(blk(0, "ffn_gate_inp.weight"), {7, 32}, {"ffn_gate_inp.weight", "[7, 32]", "[8, 32]"});
  // Metadata that promise other experts than the tensors hold.
  expect_fault(EditedModel("qwen3moe").set_int("qwen3moe.expert_count", 16), StatusCode::kCorrupt,
               {blk(0, "ffn_gate_inp.weight"), "[16, 32]"});
  expect_fault(EditedModel("qwen3moe").set_int("qwen3moe.expert_feed_forward_length", 8), StatusCode::kCorrupt,
               {blk(0, "ffn_gate_exps.weight"), "[8, 8, 32]"});
}

TEST(DecoderExperts, ARouterThatIsNoNumberIsNamedWhenItIsLoaded) {
  const std::string router = blk(1, "ffn_gate_inp.weight"), bias = blk(0, "exp_probs_b.bias");
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> values(8 * 32, 0.5f);
    values[77] = bad;
    expect_fault(EditedModel("qwen3moe").set_tensor(router, values, {8, 32}), StatusCode::kCorrupt, {router, "NaN"});
    expect_fault(EditedModel("qwen3moe").set_tensor(bias, {0, 0, 0, bad, 0, 0, 0, 0}, {8}), StatusCode::kCorrupt,
                 {bias, "NaN"});
  }
  const std::vector<uint16_t> bf16(8 * 32, 0x7F80), f16(8 * 32, 0x7C01);
  expect_fault(EditedModel("qwen3moe").set_tensor(router, ConstView(bf16.data(), DType::kBF16, {8, 32})),
               StatusCode::kCorrupt, {router, "NaN"});
  expect_fault(EditedModel("qwen3moe").set_tensor(router, ConstView(f16.data(), DType::kF16, {8, 32})),
               StatusCode::kCorrupt, {router, "NaN"});
}

TEST(DecoderExperts, WrongTypesAndStrangersAreNamed) {
  expect_fault(EditedModel("qwen3moe").set_zeros(blk(0, "ffn_up_exps.weight"), DType::kI32, {8, 16, 32}),
               StatusCode::kUnsupported, {blk(0, "ffn_up_exps.weight"), "I32"});
  expect_fault(EditedModel("qwen3moe").set_zeros(blk(0, "ffn_gate.weight"), DType::kF32, {48, 32}),
               StatusCode::kUnsupported, {blk(0, "ffn_gate.weight"), "no place"});
  expect_fault(EditedModel("qwen3moe").set_zeros(blk(0, "ffn_up_exps.bias"), DType::kF32, {8, 16}),
               StatusCode::kUnsupported, {blk(0, "ffn_up_exps.bias"), "no place"});
}

TEST(Decoder, ProgressRunsToOne) {
  auto backend = reference();
  std::vector<double> seen;
  const auto model = load_model(EditedModel("llama3").open(), *backend, [&](double fraction, const std::string& what) {
    seen.push_back(fraction);
    EXPECT_FALSE(what.empty());
  });
  ASSERT_TRUE(model.is_ok());
  EXPECT_EQ(seen, (std::vector<double>{0.5, 1.0}));
}

}  // namespace
}  // namespace ferrum
