// A device that fails: every copy and every step says so, once, with the reason of the first failure.
#include "backend/cuda/cuda_test_support.h"
#include "backend/cuda/emulation/wrapped_device.h"
#include "io/gguf.h"
#include "models/registry.h"
#include "runner/runner.h"

namespace ferrum {
namespace {

using testing_support::Matrix;
using testing_support::OnDevice;

// What is left until the next call of a kind fails; -1: it works.
struct Faults {
  int copies = -1, launches = -1, waits = -1;
  static Status use(int& left, const char* what) {
    if (left < 0 || left-- > 0) return Status::ok();
    return internal_error(std::string("the device fails at ") + what);
  }
};

class FailingDevice final : public cuda::WrappedDevice {
 public:
  explicit FailingDevice(std::shared_ptr<Faults> faults) : faults_(std::move(faults)) {}

  Status copy_to_device(void* device, const void* host, size_t bytes) override {
    FERRUM_RETURN_IF_ERROR(Faults::use(faults_->copies, "a copy"));
    return WrappedDevice::copy_to_device(device, host, bytes);
  }
  Status copy_to_host(void* host, const void* device, size_t bytes) override {
    FERRUM_RETURN_IF_ERROR(Faults::use(faults_->copies, "a copy"));
    return WrappedDevice::copy_to_host(host, device, bytes);
  }
  Status copy_on_device(void* to, const void* from, size_t bytes) override {
    FERRUM_RETURN_IF_ERROR(Faults::use(faults_->copies, "a copy"));
    return WrappedDevice::copy_on_device(to, from, bytes);
  }
  Status launch(const cuda::KernelEntry& kernel, const cuda::LaunchShape& shape, const void* args,
                size_t args_bytes) override {
    FERRUM_RETURN_IF_ERROR(Faults::use(faults_->launches, kernel.name));
    return WrappedDevice::launch(kernel, shape, args, args_bytes);
  }
  Status synchronize() override {
    FERRUM_RETURN_IF_ERROR(Faults::use(faults_->waits, "a wait"));
    return WrappedDevice::synchronize();
  }

 private:
  const std::shared_ptr<Faults> faults_;
};

std::unique_ptr<Backend> make_failing(const std::shared_ptr<Faults>& faults) {
  return std::make_unique<cuda::CudaBackend>(std::make_unique<FailingDevice>(faults), cuda::emulated::kernels(),
                                             BackendLimits{.max_tokens = 64});
}

void expect_failure(const Status& status, const std::string& what) {
  EXPECT_EQ(status.code(), StatusCode::kInternal) << what;
  EXPECT_NE(status.message().find("fails at " + what), std::string::npos) << status.message();
}

TEST(CudaFailure, EveryCopyReportsItsOwn) {
  const auto faults = std::make_shared<Faults>();
  const auto backend = make_failing(faults);
  const Buffer a = backend->allocate(64).value(), b = backend->allocate(64).value();
  std::array<std::byte, 64> host{};
  const auto expect_one_failure = [&](int Faults::*kind, const std::string& what, const auto& copy) {
    (*faults).*kind = 0;
    expect_failure(copy(), what);
    EXPECT_TRUE(copy().is_ok()) << "the failure of the call before";
  };
  for (const auto& [kind, what] : {std::pair{&Faults::copies, "a copy"}, {&Faults::waits, "a wait"}}) {
    expect_one_failure(kind, what, [&] { return backend->copy_to_host(host.data(), a.data(), 64); });
    expect_one_failure(kind, what, [&] { return backend->copy_to_device(a.data(), host.data(), 64); });
    expect_one_failure(kind, what, [&] { return backend->download(ConstView(a.data(), DType::kI8, {64})).status(); });
  }
  expect_one_failure(&Faults::copies, "a copy", [&] { return backend->copy_on_device(b.data(), a.data(), 64); });
}

// Ops return nothing: theirs is reported by what waits next, whichever that is.
TEST(CudaFailure, OfAnOpShowsAtTheNextCopyThatWaits) {
  const auto faults = std::make_shared<Faults>();
  const auto backend = make_failing(faults);
  OnDevice memory(*backend);
  const View x = memory.matrix(Matrix(1, 8));
  std::array<float, 8> host{};
  faults->launches = 0;
  backend->ops().add(x, x);
  expect_failure(backend->copy_to_host(host.data(), x.data, sizeof host), "add");
  EXPECT_TRUE(backend->copy_to_host(host.data(), x.data, sizeof host).is_ok());
  faults->launches = 0;
  backend->ops().add(x, x);
  expect_failure(backend->copy_to_device(x.data, host.data(), sizeof host), "add");
  EXPECT_TRUE(backend->download(x).is_ok());
}

std::unique_ptr<Runner> make_runner(std::unique_ptr<Backend> backend) {
  auto file = Gguf::open(FERRUM_SOURCE_DIR "/tests/data/models/qwen3moe.gguf");
  auto model = load_model(*file, *backend, {});
  EXPECT_TRUE(model.is_ok()) << model.status().message();
  RunnerOptions options;
  options.max_tokens = options.max_logits = 64;
  options.num_blocks = 4;
  auto runner = Runner::create(std::move(backend), std::move(*model), options);
  EXPECT_TRUE(runner.is_ok()) << runner.status().message();
  return std::move(*runner);
}

Batch one_token() {
  Batch b;
  b.rows.push_back({.seq = 1, .q_begin = 0, .q_len = 1, .kv_len = 1, .logit_begin = 0, .logit_count = 1});
  b.tokens = {7};
  b.positions = {0};
  b.slots = {0};
  b.token_rows = {0};
  b.cu_q = {0, 1};
  b.kv_lens = {1};
  b.max_blocks = 1;
  b.block_tables = {0};
  b.logit_rows = {0};
  return b;
}

// Wherever it fails, the step does, and the next one gives what it should.
TEST(CudaFailure, OfAnyPartOfAStepIsTheStepsAndNotTheNext) {
  const auto faults = std::make_shared<Faults>();
  const auto runner = make_runner(make_failing(faults));
  Batch batch = one_token();
  batch.copies = {{2, 3}};
  const auto logits = [&] {
    const ConstView row = runner->run(batch).value().logits;
    return std::vector<float>(row.as<float>(), row.as<float>() + row.elements());
  };
  const std::vector<float> expected = logits();
  for (int Faults::*kind : {&Faults::copies, &Faults::launches, &Faults::waits}) {
    int failures = 0;
    for (;; ++failures) {
      (*faults).*kind = failures;
      const Result<StepOutput> output = runner->run(batch);
      if (output.is_ok()) break;
      EXPECT_EQ(output.status().code(), StatusCode::kInternal);
      (*faults).*kind = -1;
      EXPECT_EQ(logits(), expected);
    }
    EXPECT_GE(failures, 2) << "that many calls a step has at least";
    (*faults).*kind = -1;
  }
}

TEST(CudaFailure, OfABlocksCopyIsReported) {
  const auto faults = std::make_shared<Faults>();
  const auto runner = make_runner(make_failing(faults));
  std::vector<std::byte> block(static_cast<size_t>(runner->block_bytes()));
  for (const int copies : {0, 1, 3}) {  // K and V of two layers
    faults->copies = copies;
    expect_failure(runner->read_block(1, block.data()), "a copy");
    faults->copies = copies;
    expect_failure(runner->write_block(1, block.data()), "a copy");
  }
  EXPECT_TRUE(runner->read_block(1, block.data()).is_ok());
  EXPECT_TRUE(runner->write_block(1, block.data()).is_ok());
}

}  // namespace
}  // namespace ferrum
