#include "backend/registry.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/test_support.h"

namespace ferrum {
namespace {

Status failure(const BackendConfig& config) {
  const Result<std::unique_ptr<Backend>> made = make_backend(config);
  return made.is_ok() ? Status::ok() : made.status();
}

// The names of those that can be made here: "cuda" wants a device.
std::vector<std::string> usable_names() {
  std::vector<std::string> names;
  for (std::string_view name : backend_names()) {
    BackendConfig config;
    config.name = name;
    const Status status = failure(config);
    if (status.is_ok()) {
      names.emplace_back(name);
    } else {
      EXPECT_EQ(name, "cuda") << status.message();
      EXPECT_EQ(status.code(), StatusCode::kUnsupported) << status.message();
      EXPECT_NE(status.message().find("use backend 'cpu'"), std::string::npos) << status.message();
    }
  }
  return names;
}

TEST(Registry, MakesEveryBackendItNames) {
  const std::vector<std::string> names = usable_names();
  EXPECT_GE(names.size(), 2u);
  for (const std::string& name : names) {
    BackendConfig config;
    config.name = name;
    const auto backend = make_backend(config);
    ASSERT_TRUE(backend.is_ok()) << name << ": " << backend.status().message();
    EXPECT_EQ((*backend)->name(), name);
    for (const DTypeInfo& type : all_dtypes())
      EXPECT_TRUE((*backend)->supports(type.dtype)) << name << " " << type.name;
  }
}

TEST(Registry, AnUnknownNameIsAnErrorThatListsTheChoices) {
  BackendConfig config;
  config.name = "cuda-ish";
  const Status status = failure(config);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("cuda-ish"), std::string::npos) << status.message();
  for (std::string_view name : backend_names()) EXPECT_NE(status.message().find(name), std::string::npos);
}

TEST(Registry, AnUnknownInstructionSetIsAnErrorThatListsTheChoices) {
  BackendConfig config;
  config.isa = "sse9";
  const Status status = failure(config);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (std::string_view name : isa_choices()) EXPECT_NE(status.message().find(name), std::string::npos);
}

TEST(Registry, ForcesAnInstructionSetOrSaysThatTheMachineLacksIt) {
  EXPECT_TRUE(isa_available("baseline"));
  EXPECT_FALSE(isa_available("sse9"));
  for (std::string_view isa : isa_choices()) {
    BackendConfig config;
    config.isa = isa;
    config.threads = 1;
    const auto backend = make_backend(config);
    if (isa_available(isa)) {
      ASSERT_TRUE(backend.is_ok());
      EXPECT_EQ((*backend)->describe(), "cpu (" + std::string(isa) + ", 1 thread)");
    } else {
      EXPECT_EQ(backend.status().code(), StatusCode::kUnsupported);
    }
  }
}

TEST(Registry, RefusesSenselessNumbers) {
  for (int threads : {-1, 1025}) {
    BackendConfig config;
    config.threads = threads;
    EXPECT_EQ(failure(config).code(), StatusCode::kInvalidArgument) << threads;
  }
  for (int tokens : {-1, 0, 1 << 30}) {
    for (std::string_view name : backend_names()) {
      BackendConfig config;
      config.name = name;
      config.limits.max_tokens = tokens;
      EXPECT_EQ(failure(config).code(), StatusCode::kInvalidArgument) << tokens;
    }
  }
}

TEST(MakeLinear, RefusesWrongShapesNamingTheTensor) {
  const std::vector<float> memory(4096, 0.0f);
  const auto ref = [&](DType dtype, std::initializer_list<int64_t> shape) {
    return WeightRef{.name = "blk.3.attn_q.weight", .matrix = ConstView(memory.data(), dtype, shape), .bias = {}};
  };
  WeightRef bad_bias = ref(DType::kF32, {4, 32});
  bad_bias.bias = ConstView(memory.data(), DType::kF32, {5});
  WeightRef half_bias = ref(DType::kF32, {4, 32});
  half_bias.bias = ConstView(memory.data(), DType::kF16, {4});
  WeightRef no_data = ref(DType::kF32, {4, 32});
  no_data.matrix.data = nullptr;
  WeightRef gaps = ref(DType::kF32, {4, 32});
  gaps.matrix.row_stride = 40;
  const std::vector<LinearSpec> wrong = {
      {{ref(DType::kF32, {32})}},                                  // one dimension
      {{ref(DType::kF32, {0, 32})}},                               // empty
      {{ref(DType::kF32, {4, 0})}},                                // empty
      {{ref(DType::kQ8_0, {4, 48})}},                              // not whole blocks
      {{ref(DType::kQ4_K, {1, 32})}},                              // not whole blocks
      {{ref(DType::kF32, {4, 32}), ref(DType::kF32, {4, 64})}},    // fused with another width
      {{ref(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40})}},  // elements overflow
      {{bad_bias}},
      {{half_bias}},
      {{no_data}},
      {{gaps}},
  };
  for (const std::string& name : usable_names()) {
    BackendConfig config;
    config.name = name;
    const auto backend = std::move(make_backend(config)).value();
    for (const LinearSpec& spec : wrong) {
      const auto made = backend->make_linear(spec);
      ASSERT_FALSE(made.is_ok()) << name << " took " << describe(spec.parts[0].matrix);
      EXPECT_EQ(made.status().code(), StatusCode::kCorrupt);
      EXPECT_NE(made.status().message().find("blk.3.attn_q.weight"), std::string::npos) << made.status().message();
    }
    EXPECT_EQ(backend->make_linear({}).status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace ferrum
