// What the metadata of a file becomes, and that every way in which they can be wrong is an error that names the key.
#include "models/spec_reader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "models/edited_model_test_util.h"

namespace ferrum {
namespace {

ModelSpec spec_of(const EditedModel& model) {
  auto spec = read_model_spec(*model.open());
  EXPECT_TRUE(spec.is_ok()) << spec.status().message();
  return spec.is_ok() ? *spec : ModelSpec{};
}

// The message must hold all of `words`.
void expect_error(const EditedModel& model, StatusCode code, std::initializer_list<std::string> words) {
  const auto spec = read_model_spec(*model.open());
  ASSERT_FALSE(spec.is_ok()) << "accepted, though it should name " << *words.begin();
  EXPECT_EQ(spec.status().code(), code) << spec.status().message();
  for (const std::string& word : words) {
    EXPECT_NE(spec.status().message().find(word), std::string::npos)
        << word << " is not in: " << spec.status().message();
  }
}

TEST(SpecReader, ReadsALlamaFile) {
  const ModelSpec spec = spec_of(EditedModel("llama3"));
  EXPECT_EQ(spec.architecture, "llama");
  EXPECT_EQ(spec.name, "llama3");
  EXPECT_EQ(spec.vocab_size, 96);
  EXPECT_EQ(spec.hidden_size, 32);
  EXPECT_EQ(spec.ffn_size, 64);
  EXPECT_EQ(spec.num_layers, 2);
  EXPECT_EQ(spec.num_heads, 2);
  EXPECT_EQ(spec.num_kv_heads, 1);
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_EQ(spec.norm_eps, 1e-5f);
  EXPECT_EQ(spec.max_context, 256);
  EXPECT_EQ(spec.sliding_window, 0);
  EXPECT_FALSE(spec.qkv_bias);
  EXPECT_EQ(spec.qk_norm, QkNorm::kNone);
  EXPECT_FALSE(spec.tied_head);
  EXPECT_EQ(spec.rope.layout, RopeLayout::kInterleaved);
  EXPECT_EQ(spec.rope.dim, 16);
  EXPECT_EQ(spec.rope.inv_freq.size(), 8u);
  EXPECT_EQ(spec.rope.magnitude, 1.0f);
}

TEST(SpecReader, TellsTheFamilyApart) {
  const ModelSpec linear = spec_of(EditedModel("llama_linear"));
  EXPECT_TRUE(linear.qkv_bias);
  EXPECT_TRUE(linear.tied_head);
  EXPECT_EQ(linear.rope.inv_freq[0], 0.25f);
  EXPECT_EQ(spec_of(EditedModel("mistral")).sliding_window, 8);
  const ModelSpec qwen2 = spec_of(EditedModel("qwen2"));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_EQ(qwen2.rope.layout, RopeLayout::kHalfSplit);
  const ModelSpec qwen3 = spec_of(EditedModel("qwen3"));
  EXPECT_EQ(qwen3.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ(qwen3.head_dim, 16);  // and not 32 / 4
}

TEST(SpecReader, MistralsOtherNamesAreTheSameNetwork) {
  for (const char* name : {"mistral", "mistral3"}) {
    const ModelSpec spec = spec_of(EditedModel("mistral").rename_architecture("llama", name));
    EXPECT_EQ(spec.architecture, name);
    EXPECT_EQ(spec.sliding_window, 8);
    EXPECT_EQ(spec.rope.layout, RopeLayout::kInterleaved);
  }
}

TEST(SpecReader, UnknownArchitectureListsTheKnownOnes) {
  expect_error(EditedModel("llama3").set_string("general.architecture", "mamba\x1b[2J"), StatusCode::kUnsupported,
               {"'mamba\\x1b[2J'", "llama, mistral, mistral3, qwen2, qwen3, qwen2moe, qwen3moe, olmoe"});
  expect_error(EditedModel("llama3").remove("general.architecture"), StatusCode::kNotFound, {"general.architecture"});
  expect_error(EditedModel("llama3").set_int("general.architecture", 3), StatusCode::kCorrupt,
               {"general.architecture"});
}

TEST(SpecReader, MissingKeysAreNamed) {
  for (const char* key :
       {"llama.block_count", "llama.embedding_length", "llama.feed_forward_length", "llama.context_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
    expect_error(EditedModel("llama3").remove(key), StatusCode::kNotFound, {key});
  }
}

TEST(SpecReader, SizesMustBePositiveAndPossible) {
  for (const char* key : {"llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
                          "llama.context_length", "llama.attention.head_count", "llama.attention.head_count_kv",
                          "llama.attention.key_length", "llama.attention.value_length"}) {
    for (int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{1} << 40, std::numeric_limits<int64_t>::min()}) {
      expect_error(EditedModel("llama3").set_int(key, bad), StatusCode::kCorrupt, {key, std::to_string(bad)});
    }
    expect_error(EditedModel("llama3").set_string(key, "two"), StatusCode::kCorrupt, {key});
  }
}

TEST(SpecReader, HeadsMustDivide) {
  expect_error(EditedModel("llama3").set_int("llama.attention.head_count", 3), StatusCode::kCorrupt, {"head_count"});
  expect_error(EditedModel("llama_linear").set_int("llama.attention.head_count_kv", 3), StatusCode::kCorrupt,
               {"head_count_kv", "divisor of the 4 heads"});
  // 32 / 5 is no whole number, but with a head size of its own that does not matter.
  const EditedModel odd = EditedModel("llama3")
                              .set_int("llama.attention.head_count", 5)
                              .set_int("llama.attention.key_length", 16)
                              .set_int("llama.attention.value_length", 16);
  EXPECT_EQ(spec_of(odd).num_heads, 5);
}

TEST(SpecReader, KeysAndValuesOfDifferentLengthAreRefused) {
  expect_error(EditedModel("qwen3").set_int("qwen3.attention.value_length", 8), StatusCode::kUnsupported,
               {"keys of 16 and values of 8"});
}

TEST(SpecReader, ArraysPerLayerMustAgree) {
  const std::string key = "llama.attention.head_count_kv";
  EXPECT_EQ(spec_of(EditedModel("llama3").set_ints(key, {1, 1})).num_kv_heads, 1);
  expect_error(EditedModel("llama3").set_ints(key, {1, 2}), StatusCode::kUnsupported, {key, "differs between layers"});
  expect_error(EditedModel("llama3").set_ints(key, {1, 1, 1}), StatusCode::kCorrupt, {key, "3 values", "2 layers"});
  expect_error(EditedModel("llama3").set_ints(key, {0, 0}), StatusCode::kCorrupt, {key});
  expect_error(EditedModel("llama3").set_ints(key, {}), StatusCode::kCorrupt, {key});
}

TEST(SpecReader, EpsilonMustBeFiniteAndPositive) {
  const std::string key = "llama.attention.layer_norm_rms_epsilon";
  for (double bad : {0.0, -1e-5, std::nan(""), static_cast<double>(INFINITY)}) {
    expect_error(EditedModel("llama3").set_float(key, bad), StatusCode::kCorrupt, {key});
  }
  expect_error(EditedModel("llama3").set_int(key, 1), StatusCode::kCorrupt, {key});
}

TEST(SpecReader, RopeParametersAreChecked) {
  for (int64_t bad : {0, -2, 3, 18, 1 << 20}) {
    expect_error(EditedModel("llama3").set_int("llama.rope.dimension_count", bad), StatusCode::kCorrupt,
                 {"llama.rope.dimension_count", std::to_string(bad)});
  }
  for (double bad : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY)}) {
    expect_error(EditedModel("llama3").set_float("llama.rope.freq_base", bad), StatusCode::kCorrupt,
                 {"frequency base", "llama.rope."});
    expect_error(EditedModel("llama_linear").set_float("llama.rope.scaling.factor", bad), StatusCode::kCorrupt,
                 {"scaling factor"});
  }
  expect_error(EditedModel("llama3").set_string("llama.rope.scaling.type", "longrope"), StatusCode::kUnsupported,
               {"llama.rope.scaling.type", "'longrope'", "none, linear, llama3 and yarn"});
  EXPECT_EQ(spec_of(EditedModel("llama3").remove("llama.rope.freq_base")).rope.dim, 16);
}

TEST(SpecReader, RopeFactorsTensorIsChecked) {
  expect_error(EditedModel("llama3").set_tensor("rope_freqs.weight", {1, 1, 1, 1}, {4}), StatusCode::kCorrupt,
               {"rope_freqs.weight", "[4] F32", "[8] F32"});
  expect_error(EditedModel("llama3").set_tensor("rope_freqs.weight", {1, 1, 1, 0, 1, 1, 1, 1}, {8}),
               StatusCode::kCorrupt, {"factor 3"});
  expect_error(EditedModel("llama3").set_zeros("rope_freqs.weight", DType::kF16, {8}), StatusCode::kCorrupt,
               {"rope_freqs.weight", "F16"});
}

// The tensor rope_freqs and the parameters it was made from say the same; with both, the scaling applies once.
TEST(SpecReader, Llama3ScalingFromMetadataEqualsTheTensor) {
  EditedModel model("llama3");
  const std::vector<float> from_tensor = spec_of(model).rope.inv_freq;
  model.set_string("llama.rope.scaling.type", "llama3").set_float("llama.rope.scaling.factor", 8);
  model.set_float("llama.rope.scaling.low_freq_factor", 1).set_float("llama.rope.scaling.high_freq_factor", 4);
  model.set_int("llama.rope.scaling.original_context_length", 64);
  EXPECT_EQ(spec_of(model).rope.inv_freq, from_tensor);
  model.remove_tensor("rope_freqs.weight");
  const std::vector<float> from_metadata = spec_of(model).rope.inv_freq;
  ASSERT_EQ(from_metadata.size(), from_tensor.size());
  for (size_t i = 0; i < from_tensor.size(); ++i) EXPECT_NEAR(from_metadata[i] / from_tensor[i], 1, 1e-6);
  model.remove("llama.rope.scaling.original_context_length");
  expect_error(model, StatusCode::kCorrupt, {"original context length"});
}

TEST(SpecReader, LinearScalingByItsOldNames) {
  EditedModel model("llama_linear");
  const std::vector<float> scaled = spec_of(model).rope.inv_freq;
  model.remove("llama.rope.scaling.type");
  EXPECT_EQ(spec_of(model).rope.inv_freq, scaled);
  model.remove("llama.rope.scaling.factor").set_float("llama.rope.scale_linear", 4);
  EXPECT_EQ(spec_of(model).rope.inv_freq, scaled);
  model.set_string("llama.rope.scaling.type", "none");
  EXPECT_EQ(spec_of(model).rope.inv_freq[0], 1.0f);
}

TEST(SpecReader, WindowIsChecked) {
  const std::string key = "llama.attention.sliding_window";
  EXPECT_EQ(spec_of(EditedModel("mistral").set_int(key, 0)).sliding_window, 0);
  EXPECT_EQ(spec_of(EditedModel("mistral").set_int(key, 255)).sliding_window, 255);
  EXPECT_EQ(spec_of(EditedModel("mistral").set_int(key, 256)).sliding_window, 0) << "as long as the context: no window";
  for (int64_t bad : {int64_t{-1}, int64_t{1} << 40}) {
    expect_error(EditedModel("mistral").set_int(key, bad), StatusCode::kCorrupt, {key, std::to_string(bad)});
  }
  expect_error(EditedModel("mistral").set_int("llama.attention.sliding_window_pattern", 2), StatusCode::kUnsupported,
               {"sliding_window_pattern"});
}

TEST(SpecReader, VocabularySizesMustAgree) {
  expect_error(EditedModel("llama3").set_int("llama.vocab_size", 95), StatusCode::kCorrupt,
               {"llama.vocab_size", "95", "96"});
  expect_error(EditedModel("llama3").set_strings("tokenizer.ggml.tokens", std::vector<std::string>(97, "a")),
               StatusCode::kCorrupt, {"tokenizer.ggml.tokens", "97", "96"});
  expect_error(EditedModel("llama3").remove_tensor("token_embd.weight"), StatusCode::kNotFound, {"token_embd.weight"});
  expect_error(EditedModel("llama3").set_zeros("token_embd.weight", DType::kF32, {96, 16}), StatusCode::kCorrupt,
               {"token_embd.weight", "[96, 16]", "32"});
  expect_error(EditedModel("llama3").set_zeros("token_embd.weight", DType::kF32, {96}), StatusCode::kCorrupt,
               {"token_embd.weight"});
}

TEST(SpecReader, FeaturesOfOtherNetworksAreRefusedNotIgnored) {
  expect_error(EditedModel("qwen3").set_int("qwen3.expert_count", 8), StatusCode::kUnsupported,
               {"qwen3.expert_count", "mixture-of-experts"});
  expect_error(EditedModel("llama3").set_float("llama.attention.scale", 0.5), StatusCode::kUnsupported,
               {"llama.attention.scale"});
  expect_error(EditedModel("llama3").set_float("llama.logit_scale", 0.5), StatusCode::kUnsupported,
               {"llama.logit_scale"});
  expect_error(EditedModel("llama3").set_bool("llama.attention.causal", false), StatusCode::kUnsupported,
               {"llama.attention.causal"});
  expect_error(EditedModel("llama3").set_string("llama.final_logit_softcapping", "30"), StatusCode::kUnsupported,
               {"llama.final_logit_softcapping"});
  // Neutral values change nothing.
  spec_of(EditedModel("llama3")
              .set_int("llama.expert_count", 0)
              .set_float("llama.logit_scale", 1)
              .set_bool("llama.attention.causal", true)
              .set_float("llama.final_logit_softcapping", 0));
}

TEST(SpecReader, ReadsExperts) {
  const ModelSpec qwen3 = spec_of(EditedModel("qwen3moe"));
  ASSERT_TRUE(qwen3.moe.has_value());
  EXPECT_EQ(qwen3.ffn_size, 0);
  EXPECT_EQ(qwen3.moe->router.num_experts, 8);
  EXPECT_EQ(qwen3.moe->router.top_k, 3);
  EXPECT_TRUE(qwen3.moe->router.normalize);
  EXPECT_EQ(qwen3.moe->router.score, RouterScore::kSoftmax);
  EXPECT_EQ(qwen3.moe->router.scale, 1.0f);
  EXPECT_EQ(qwen3.moe->expert_ffn, 16);
  EXPECT_EQ(qwen3.moe->shared_ffn, 0);
  EXPECT_EQ(qwen3.qk_norm, QkNorm::kPerHead);
  const ModelSpec qwen2 = spec_of(EditedModel("qwen2moe"));
  EXPECT_FALSE(qwen2.moe->router.normalize);
  EXPECT_TRUE(qwen2.moe->shared_gate);
  EXPECT_EQ(qwen2.moe->shared_ffn, 40);
  EXPECT_EQ(qwen2.ffn_size, 40);
  const ModelSpec mixtral = spec_of(EditedModel("mixtral"));
  EXPECT_TRUE(mixtral.moe->router.normalize);
  EXPECT_EQ(mixtral.moe->expert_ffn, 24);  // feed_forward_length
  const ModelSpec olmoe = spec_of(EditedModel("olmoe"));
  EXPECT_EQ(olmoe.qk_norm, QkNorm::kAllHeads);
  EXPECT_FALSE(olmoe.moe->router.normalize);
  EXPECT_FALSE(spec_of(EditedModel("llama3").set_int("llama.expert_count", 0)).moe.has_value());
}

TEST(SpecReader, ReadsHowARouterChooses) {
  const RouterSpec router = spec_of(EditedModel("qwen3moe")
                                        .set_int("qwen3moe.expert_gating_func", 2)
                                        .set_bool("qwen3moe.expert_weights_norm", false)
                                        .set_float("qwen3moe.expert_weights_scale", 2.5)
                                        .set_int("qwen3moe.expert_group_count", 4)
                                        .set_int("qwen3moe.expert_group_used_count", 2))
                                .moe->router;
  EXPECT_EQ(router.score, RouterScore::kSigmoid);
  EXPECT_FALSE(router.normalize);
  EXPECT_EQ(router.scale, 2.5f);
  EXPECT_EQ(router.groups, 4);
  EXPECT_EQ(router.top_groups, 2);
  EXPECT_EQ(router.group_experts, 2);
}

TEST(SpecReader, WrongNumbersOfExpertsAreNamed) {
  const auto with = [](const char* suffix, int64_t value) {
    return EditedModel("qwen3moe").set_int(std::string("qwen3moe.") + suffix, value);
  };
  expect_error(with("expert_used_count", 9), StatusCode::kCorrupt,
               {"9 experts per token", "8 experts", "qwen3moe.expert_"});
  expect_error(with("expert_used_count", 0), StatusCode::kCorrupt, {"qwen3moe.expert_used_count"});
  expect_error(with("expert_count", 100000), StatusCode::kCorrupt, {"qwen3moe.expert_count", "1024"});
  expect_error(with("expert_count", 0), StatusCode::kCorrupt, {"qwen3moe.expert_count"});
  expect_error(with("expert_feed_forward_length", -1), StatusCode::kCorrupt, {"qwen3moe.expert_feed_forward_length"});
  expect_error(with("expert_gating_func", 3), StatusCode::kUnsupported, {"expert_gating_func", "3"});
  expect_error(with("expert_group_count", 3).set_int("qwen3moe.expert_group_used_count", 1), StatusCode::kCorrupt,
               {"3 groups"});
  expect_error(with("expert_group_count", 4), StatusCode::kNotFound, {"expert_group_used_count"});
  expect_error(with("expert_shared_count", 1), StatusCode::kUnsupported, {"expert_shared_", "qwen3moe"});
  expect_error(with("leading_dense_block_count", 1), StatusCode::kUnsupported, {"leading_dense_block_count"});
  for (const char* key : {"expert_count", "expert_used_count", "expert_feed_forward_length"}) {
    expect_error(EditedModel("qwen3moe").remove(std::string("qwen3moe.") + key), StatusCode::kNotFound, {key});
  }
  expect_error(EditedModel("qwen2moe").remove("qwen2moe.expert_shared_feed_forward_length"), StatusCode::kNotFound,
               {"expert_shared_feed_forward_length"});
  expect_error(EditedModel("mixtral").remove("llama.feed_forward_length"), StatusCode::kNotFound,
               {"llama.feed_forward_length"});
}

}  // namespace
}  // namespace ferrum
