// A step of a model allocates nothing: scratch is sized when Linears are made. Counted through the global operator new
// of this test program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "backend/test_support.h"

namespace {
std::atomic<int64_t> g_allocations{0};
}  // namespace

// Not inlined: the compiler would see malloc and free meet at places where it expects new and delete.
__attribute__((noinline)) void* operator new(size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
// A sanitizer brings one of its own, which does not end in the one above.
__attribute__((noinline)) void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes > 0 ? bytes : 1);
}
__attribute__((noinline)) void operator delete(void* p) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace ferrum {
namespace {

using testing_support::make_cpu;
using testing_support::Matrix;
using testing_support::Random;
using testing_support::random_stored;
using testing_support::Stored;

TEST(CpuBackend, AStepAllocatesNothing) {
  Random random(1);
  const Stored q4 = random_stored(random, DType::kQ4_K, 240, 512), f16 = random_stored(random, DType::kF16, 8, 512),
               f64 = random_stored(random, DType::kF64, 8, 512);
  const auto backend = make_cpu("auto", 3);
  const auto linear = backend
                          ->make_linear({{{.name = "a", .matrix = q4.view(), .bias = {}},
                                          {.name = "b", .matrix = f16.view(), .bias = {}},
                                          {.name = "c", .matrix = f64.view(), .bias = {}}}})
                          .value();
  Matrix x = Matrix::random(random, 20, 512), y(20, 256), half(20, 256);
  const std::vector<float> weight(512, 1.0f);
  Stored kv = random_stored(random, DType::kF16, 2 * 1 * 16, 32);
  const KvLayer layer{View(kv.bytes.data(), DType::kF16, {2, 1, 16, 32}),
                      View(kv.bytes.data(), DType::kF16, {2, 1, 16, 32})};
  Batch batch;
  batch.rows.push_back({.seq = 0, .q_begin = 0, .q_len = 20, .kv_len = 20, .logit_begin = 0, .logit_count = 0});
  for (int t = 0; t < 20; ++t) {
    batch.positions.push_back(t);
    batch.token_rows.push_back(0);
  }
  batch.tokens = batch.slots = batch.positions;
  batch.max_blocks = 2;
  batch.block_tables = {1, 0};
  const DeviceBatch device = backend->upload(batch).value();
  AttentionPlan plan;
  plan.batch = &device;
  plan.num_heads = 2;
  plan.num_kv_heads = 1;
  plan.head_dim = 32;
  Matrix q = Matrix::random(random, 20, 64), out(20, 64);
  Ops& ops = backend->ops();

  ExpertsSpec experts_spec;
  experts_spec.top_k = 2;
  const Stored wide = random_stored(random, DType::kQ4_K, 256, 512),
               narrow = random_stored(random, DType::kQ6_K, 512, 256);
  for (int e = 0; e < 4; ++e) {
    experts_spec.experts.push_back({{.name = "gate", .matrix = wide.view(), .bias = {}},
                                    {.name = "up", .matrix = wide.view(), .bias = {}},
                                    {.name = "down", .matrix = narrow.view(), .bias = {}}});
  }
  const auto experts = backend->make_experts(std::move(experts_spec)).value();
  Matrix router_logits = Matrix::random(random, 20, 4), mixed(20, 512);
  std::vector<int32_t> ids(40);
  std::vector<float> expert_weights(40);
  std::vector<int64_t> load(5);
  RouteArgs route;
  route.spec.num_experts = 4;
  route.spec.top_k = 2;
  route.logits = router_logits.view();
  route.out.ids = View(ids.data(), DType::kI32, {20, 2});
  route.out.weights = View(expert_weights.data(), DType::kF32, {20, 2});
  route.load = View(load.data(), DType::kI64, {5});

  const int64_t before = g_allocations.load();
  ops.route(route);
  experts->forward(ops, x.view(), route.out, mixed.view());
  linear->forward(ops, x.view(), y.view());
  ops.rms_norm(x.view(), ConstView(weight.data(), DType::kF32, {512}), 1e-5f, x.view());
  ops.silu_mul(x.view(), half.view());
  ops.attention(plan, q.view(), layer, out.view());
  EXPECT_EQ(g_allocations.load() - before, 0);
}

}  // namespace
}  // namespace ferrum
