#include "backend/parity_gate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>

#include "backend/cpu/float_panels.h"
#include "backend/cpu/panels.h"
#include "backend/kv_layout.h"
#include "backend/reference/reference_backend.h"
#include "ops/kv_dtype.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

constexpr int64_t kRows = 40;       // of a weight matrix: two panels and a half
constexpr int64_t kTokens = 31;     // through a Linear: with 12, 10 and 1, tiles of every size (8, 6, 4, 2, 1)
constexpr int64_t kPositions = 37;  // that attention reads: several KV blocks and a rest
constexpr int kGroup = 32;          // activations that share a scale

// What a kernel did wrong; nullopt if nothing.
using Finding = std::optional<std::string>;

// xorshift32 (Marsaglia 2003): the same sample at every start.
class Random {
 public:
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }
  float uniform() { return static_cast<float>(static_cast<int32_t>(next() >> 8) - (1 << 23)) * 0x1p-23f; }  // [-1, 1)
  std::vector<float> values(int64_t n) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = 2 * uniform();
    return out;
  }

 private:
  uint32_t state_ = 0x9e3779b9;
};

View matrix_view(std::vector<float>& values, int64_t rows) {
  return View(values.data(), DType::kF32, {rows, static_cast<int64_t>(values.size()) / rows});
}

// The first element that is further than bound(i) from the reference; a NaN is at its place where both have one.
template <typename Bound>
Finding compare(std::span<const float> got, std::span<const float> wanted, const Bound& bound) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
    if (got[i] == wanted[i] || std::abs(got[i] - wanted[i]) <= bound(i)) continue;
    char text[120];
    std::snprintf(text, sizeof text, "element %zu is %.7g, the reference has %.7g", i, static_cast<double>(got[i]),
                  static_cast<double>(wanted[i]));
    return text;
  }
  return std::nullopt;
}

// Activations that int8 holds exactly: multiples of 1/64 with 127/64 in each group. The kernel then differs from the
// reference by the rounding of float sums only, and a single wrong weight shows.
struct ExactActivations {
  explicit ExactActivations(int64_t columns)
      : n(columns),
        blocks_per_row((columns + kActElements - 1) / kActElements),
        floats(static_cast<size_t>(kTokens * n)) {
    ActBlock empty{};
    std::fill_n(empty.start32, 8, kSumStart);
    std::fill_n(empty.start16, 16, kSumStart);
    blocks.assign(static_cast<size_t>(kTokens * blocks_per_row), empty);
    Random random;
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        const int q = i % kGroup == (7 * t) % kGroup ? 127 : static_cast<int>(random.next() % 255) - 127;
        put(t, i, q);
      }
    }
  }

  void put(int64_t t, int64_t i, int q) {
    constexpr float kScale = 1.0f / 64;
    floats[static_cast<size_t>(t * n + i)] = static_cast<float>(q) * kScale;
    ActBlock& block = blocks[static_cast<size_t>(t * blocks_per_row + i / kActElements)];
    const auto at = static_cast<size_t>(i % kActElements);
    block.q[at] = static_cast<int8_t>(q);
    block.d[at / 32] = kScale;
    block.sum32[at / 32] += static_cast<float>(q) * kScale;  // exact: sums of multiples of 1/64
    block.sum16[at / 16] += static_cast<float>(q) * kScale;
    block.start32[at / 32] -= 128 * q;
    block.start16[at / 16] -= 128 * q;
  }

  int64_t n, blocks_per_row;
  std::vector<float> floats;
  std::vector<ActBlock> blocks;  // zeros where a row ends inside one
};

class DotCheck {
 public:
  // On panels if `packed`, else on the stored rows.
  DotCheck(WeightRef weight, bool packed, ReferenceBackend& reference)
      : weight_(std::move(weight)), x_(weight_.matrix.dim(1)) {
    ConstView& m = weight_.matrix;
    rows_ = std::min(kRows, m.dim(0));
    m.shape[0] = rows_;
    weight_.bias = {};
    wanted_.resize(static_cast<size_t>(kTokens * rows_));
    const auto linear = reference.make_linear({{weight_}});
    FERRUM_CHECK(linear.is_ok(), linear.status().message());
    (*linear)->forward(reference.ops(), matrix_view(x_.floats, kTokens), matrix_view(wanted_, kTokens));
    set_bounds();
    if (!packed) return;
    ThreadPool alone(1);
    HostArena memory;
    auto panels = pack_panels(m, false, alone, memory);
    FERRUM_CHECK(panels.is_ok(), panels.status().message());
    panels_ = std::move(*panels);
  }

  // Of panels of float weights: the tokens arranged as the kernel wants them.
  Finding operator()(const FloatPanelKernel& kernel) const {
    const int64_t stride = float_tile_stride(x_.n);
    std::vector<std::byte> tiles(static_cast<size_t>(kTokens * stride * kernel.element));
    return check(kernel.dot, [&](DotTask& task) {
      for (int64_t token = 0; token < task.tokens; token += kFloatTileTokens) {
        kernel.arrange({x_.floats.data() + token * x_.n, x_.n, std::min<int64_t>(kFloatTileTokens, task.tokens - token),
                        x_.n, stride, tiles.data() + token * stride * kernel.element});
      }
      task.row_bytes = panel_bytes(weight_.matrix.dtype, kPanelRows, x_.n) / kPanelRows;
      task.x = tiles.data();
      task.x_stride = stride;
    });
  }
  Finding operator()(Kernels::Dot dot) const {
    return check(dot, [](DotTask&) {});
  }

 private:
  template <typename Prepare>
  Finding check(Kernels::Dot dot, const Prepare& prepare) const {
    const bool quantized = info(weight_.matrix.dtype).quantized;
    std::vector<float> got(wanted_.size(), -1.0f);
    DotTask task;
    task.weights = static_cast<const std::byte*>(panels_.bytes() > 0 ? panels_.data() : weight_.matrix.data);
    task.row_bytes = bytes_of(weight_.matrix.dtype, x_.n);
    task.rows = rows_;
    task.columns = x_.n;
    task.x = quantized ? static_cast<const void*>(x_.blocks.data()) : x_.floats.data();
    task.x_stride = quantized ? x_.blocks_per_row : x_.n;
    task.y = got.data();
    task.y_stride = rows_;
    for (const int64_t tokens : {kTokens, int64_t{12}, int64_t{10}, int64_t{1}}) {
      task.tokens = tokens;
      prepare(task);
      dot(task);
      if (auto wrong = compare(got, wanted_, [this](size_t i) { return bounds_[i]; })) return wrong;
    }
    return std::nullopt;
  }

  // Float sums of n terms round at most n times, and mostly against each other; offsets of asymmetric formats are
  // summed apart and cancel, hence the generous factor. A wrong weight moves a sum by far more.
  void set_bounds() {
    bounds_.resize(wanted_.size());
    std::vector<float> w(static_cast<size_t>(x_.n));
    for (int64_t r = 0; r < rows_; ++r) {
      const auto row_bytes = bytes_of(weight_.matrix.dtype, x_.n);
      dequantize_row(weight_.matrix.dtype,
                     static_cast<const std::byte*>(weight_.matrix.data) + static_cast<size_t>(r) * row_bytes, w.data(),
                     x_.n);
      for (int64_t t = 0; t < kTokens; ++t) {
        double magnitude = 0;
        for (int64_t i = 0; i < x_.n; ++i) {
          magnitude +=
              std::abs(static_cast<double>(w[static_cast<size_t>(i)]) * x_.floats[static_cast<size_t>(t * x_.n + i)]);
        }
        bounds_[static_cast<size_t>(t * rows_ + r)] = static_cast<float>(1e-4 * magnitude);
      }
    }
  }

  WeightRef weight_;
  ExactActivations x_;
  Buffer panels_;
  int64_t rows_ = 0;
  std::vector<float> wanted_, bounds_;
};

// The quantiser is defined to the bit (quant/quantize.h).
Finding check_quantize(const Kernels& kernels, int64_t columns) {
  const int64_t n = (columns + kActElements - 1) / kActElements * kActElements;
  Random random;
  const std::vector<float> x = random.values(n);
  std::vector<ActBlock> got(static_cast<size_t>(n / kActElements));
  std::vector<ActBlock32> wanted(static_cast<size_t>(n / kGroup));
  kernels.quantize(x.data(), n, got.data());
  quantize_activations(x.data(), wanted.data(), n);
  for (size_t g = 0; g < wanted.size(); ++g) {
    const ActBlock& block = got[g / 8];
    const float sum = wanted[g].d * static_cast<float>(wanted[g].sum);
    const float halves = block.sum16[g % 8 * 2] + block.sum16[g % 8 * 2 + 1];
    const float near = 1e-5f * (1 + std::abs(sum));
    if (std::memcmp(block.q + g % 8 * kGroup, wanted[g].qs, kGroup) != 0 || block.d[g % 8] != wanted[g].d ||
        !(std::abs(block.sum32[g % 8] - sum) <= near) || !(std::abs(halves - sum) <= near) ||
        block.start32[g % 8] != kSumStart - 128 * wanted[g].sum ||
        block.start16[g % 8 * 2] - kSumStart + block.start16[g % 8 * 2 + 1] != block.start32[g % 8]) {
      return "group " + std::to_string(g) + " of 32 activations differs from the reference";
    }
  }
  return std::nullopt;
}

Finding check_rms_norm(const Kernels& kernels, const ParitySample& sample, ReferenceBackend& reference) {
  Random random;
  std::vector<float> x = random.values(sample.norm.dim(0)), wanted(x.size()), got(x.size());
  reference.ops().rms_norm(matrix_view(x, 1), sample.norm, sample.norm_eps, matrix_view(wanted, 1));
  kernels.rms_norm(x.data(), sample.norm.as<float>(), sample.norm.dim(0), sample.norm_eps, got.data());
  return compare(got, wanted, [&](size_t i) { return 1e-5f * (1e-3f + std::abs(wanted[i])); });
}

Finding check_add(const Kernels& kernels, int64_t n) {
  Random random;
  std::vector<float> x = random.values(n), delta = random.values(n), wanted = x;
  for (size_t i = 0; i < x.size(); ++i) wanted[i] += delta[i];
  kernels.add(x.data(), delta.data(), n);
  return compare(x, wanted, [](size_t) { return 0.0f; });
}

Finding check_silu_mul(const Kernels& kernels, int64_t n, ReferenceBackend& reference) {
  Random random;
  std::vector<float> gate_up = random.values(2 * n), wanted(static_cast<size_t>(n)), got(wanted.size());
  for (int64_t i = 0; i < n; ++i) gate_up[static_cast<size_t>(i)] *= 4;
  reference.ops().silu_mul(matrix_view(gate_up, 1), matrix_view(wanted, 1));
  kernels.silu_mul(gate_up.data(), gate_up.data() + n, n, got.data());
  return compare(got, wanted, [&](size_t i) { return 1e-5f * (1e-2f + std::abs(wanted[i])); });
}

// One sequence of kPositions tokens, stored and attended to by the reference.
class AttentionScene {
 public:
  AttentionScene(const ParitySample& sample, ReferenceBackend& reference) : s_(sample) {
    Random random;
    q_ = random.values(kPositions * s_.num_heads * s_.head_dim);
    k_ = random.values(kPositions * s_.num_kv_heads * s_.head_dim);
    v_ = random.values(kPositions * s_.num_kv_heads * s_.head_dim);
    rotated_ = q_;
    blocks_ = static_cast<int>((kPositions + s_.block_size - 1) / s_.block_size);
    const int64_t elements = int64_t{blocks_} * s_.num_kv_heads * s_.block_size * s_.head_dim;
    k_cache_.resize(bytes_of(s_.kv_dtype, elements));
    v_cache_.resize(k_cache_.size());
    k_scales_.resize(static_cast<size_t>(blocks_ * s_.num_kv_heads * s_.block_size));
    v_scales_ = k_scales_;
    batch_.rows.push_back({0, 0, kPositions, kPositions, 0, 0});
    for (int i = 0; i < kPositions; ++i) {
      batch_.tokens.push_back(0);
      batch_.positions.push_back(i);
      batch_.slots.push_back(slot(i));
      batch_.token_rows.push_back(0);
    }
    batch_.cu_q = {0, static_cast<int32_t>(kPositions)};
    batch_.kv_lens = {static_cast<int32_t>(kPositions)};
    for (int i = 0; i < blocks_; ++i) batch_.block_tables.push_back(blocks_ - 1 - i);
    batch_.max_blocks = blocks_;
    compute(reference.ops());
  }

  Finding check_rotate(const Kernels& kernels) const {
    std::vector<float> got = q_;
    for (int64_t i = 0; i < kPositions * s_.num_heads; ++i) {
      kernels.rotate(got.data() + i * s_.head_dim, cos_sin_.data() + i / s_.num_heads * s_.rope_dim, s_.rope_dim,
                     s_.rope_layout);
    }
    return compare(got, rotated_, [](size_t) { return 1e-5f; });
  }

  // To the bit: rounding to the cache's type is one exact operation after another. V is stored in V's place and, to see
  // rows whose elements lie apart, in K's.
  Finding check_store(const Kernels& kernels) const {
    std::vector<std::byte> got(v_cache_.size()), apart(v_cache_.size());
    const View in_place = cache(got), in_k = cache(apart);
    for (int64_t i = 0; i < kPositions * s_.num_kv_heads; ++i) {
      const int64_t position = i / s_.num_kv_heads, head = i % s_.num_kv_heads, at = slot(position);
      const KvPlace v = v_place(in_place, at, head), k = k_place(in_k, at, head);
      const auto size = bytes_of(s_.kv_dtype, 1);
      float scale = 0;
      for (const auto& [place, bytes] : {std::pair{v, &got}, std::pair{k, &apart}}) {
        kernels.store_kv({s_.kv_dtype, v_.data() + i * s_.head_dim, s_.head_dim,
                          bytes->data() + static_cast<size_t>(place.first) * size, place.step, &scale});
      }
      bool same = !has_kv_scales(s_.kv_dtype) ||
                  scale == v_scales_[static_cast<size_t>(kv_scale_index(scales(v_scales_), at, head))];
      for (int64_t d = 0; d < s_.head_dim; ++d) {
        const size_t from = static_cast<size_t>(v.first + d) * size,
                     also = static_cast<size_t>(k.first + d * k.step) * size;
        same = same && std::memcmp(&got[from], &v_cache_[from], size) == 0 &&
               std::memcmp(&apart[also], &v_cache_[from], size) == 0;
      }
      if (!same)
        return "the values of position " + std::to_string(position) + " are stored differently from the reference";
    }
    return std::nullopt;
  }

  // The last token, whole and as one chunk that is merged.
  Finding check_attention(const Kernels& kernels) const {
    static_assert(kPositions <= kAttentionChunk);
    const int per_kv_head = s_.num_heads / s_.num_kv_heads;
    const auto row = static_cast<size_t>(s_.num_heads * s_.head_dim), first = (kPositions - 1) * row;
    const auto share = static_cast<size_t>(per_kv_head * s_.head_dim);
    const int32_t position = kPositions - 1;
    std::vector<float> got(row), merged(row), values(share), stats(2 * share), state(2 * share);
    AttentionTask task;
    task.positions = &position;
    task.heads = per_kv_head;
    task.head_dim = s_.head_dim;
    task.dtype = s_.kv_dtype;
    task.block_stride = int64_t{s_.num_kv_heads} * s_.block_size * s_.head_dim;
    task.block_size = s_.block_size;
    task.table = batch_.block_tables.data();
    task.scale = scale();
    for (int head = 0; head < s_.num_kv_heads; ++head) {
      const int64_t before = int64_t{head} * s_.block_size;
      task.k = k_cache_.data() + bytes_of(s_.kv_dtype, before * s_.head_dim);
      task.v = v_cache_.data() + bytes_of(s_.kv_dtype, before * s_.head_dim);
      task.k_scale = k_scales_.data() + before;
      task.v_scale = v_scales_.data() + before;
      task.q = rotated_.data() + first + static_cast<size_t>(head) * share;
      task.out = got.data() + static_cast<size_t>(head) * share;
      kernels.attention.attend(task);
      AttentionTask part = task;
      part.out = values.data();
      part.stats = stats.data();
      kernels.attention.attend(part);
      task.out = merged.data() + static_cast<size_t>(head) * share;
      kernels.attention.merge(task, part, state.data());
    }
    if (got != merged) return "a context in parts gives something else than in one go";
    return compare(got, attended_, [](size_t) { return 2e-4f; });
  }

 private:
  int32_t slot(int64_t position) const {  // blocks in descending order: a table that is not the identity
    return static_cast<int32_t>((blocks_ - 1 - position / s_.block_size) * s_.block_size + position % s_.block_size);
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(s_.head_dim)); }

  View cache(std::vector<std::byte>& bytes) const {
    return View(bytes.data(), s_.kv_dtype, {blocks_, s_.num_kv_heads, s_.block_size, s_.head_dim});
  }
  View scales(const std::vector<float>& values) const {
    return View(const_cast<float*>(values.data()), DType::kF32, {blocks_, s_.num_kv_heads, s_.block_size});
  }

  void compute(Ops& ops) {
    std::vector<float> inv_freq(static_cast<size_t>(s_.rope_dim / 2));
    for (size_t i = 0; i < inv_freq.size(); ++i) {
      inv_freq[i] = std::pow(10000.0f, -2 * static_cast<float>(i) / static_cast<float>(s_.rope_dim));
    }
    cos_sin_.resize(static_cast<size_t>(kPositions * s_.rope_dim));
    const DeviceBatch device = host_views(batch_);
    ops.rope_cos_sin(device.positions, ConstView(inv_freq.data(), DType::kF32, {s_.rope_dim / 2}), 1.0f,
                     matrix_view(cos_sin_, kPositions));
    QkvArgs args;
    args.q = matrix_view(rotated_, kPositions);
    args.k = matrix_view(k_, kPositions);
    args.v = matrix_view(v_, kPositions);
    args.cos_sin = matrix_view(cos_sin_, kPositions);
    args.layout = s_.rope_layout;
    args.rope_dim = s_.rope_dim;
    args.num_heads = s_.num_heads;
    args.num_kv_heads = s_.num_kv_heads;
    args.head_dim = s_.head_dim;
    args.kv = {cache(k_cache_), cache(v_cache_), scales(k_scales_), scales(v_scales_)};
    args.block_size = s_.block_size;
    args.slots = device.slots;
    ops.norm_rope_store(args);

    // Of the last token only: the reference takes its time.
    Batch last = batch_;
    last.rows = {{0, 0, 1, kPositions, 0, 0}};
    last.tokens.resize(1);
    last.token_rows.resize(1);
    last.positions = {static_cast<int32_t>(kPositions - 1)};
    last.slots = {slot(kPositions - 1)};
    last.cu_q = {0, 1};
    const DeviceBatch device_last = host_views(last);
    AttentionPlan plan;
    plan.batch = &device_last;
    plan.num_heads = s_.num_heads;
    plan.num_kv_heads = s_.num_kv_heads;
    plan.head_dim = s_.head_dim;
    plan.block_size = s_.block_size;
    plan.scale = scale();
    attended_.resize(static_cast<size_t>(s_.num_heads * s_.head_dim));
    const ConstView query(rotated_.data() + rotated_.size() - attended_.size(), DType::kF32,
                          {1, static_cast<int64_t>(attended_.size())});
    ops.attention(plan, query, args.kv, matrix_view(attended_, 1));
  }

  const ParitySample& s_;
  int blocks_ = 0;
  Batch batch_;
  std::vector<float> q_, k_, v_, rotated_, cos_sin_, attended_;
  std::vector<std::byte> k_cache_, v_cache_;
  std::vector<float> k_scales_, v_scales_;
};

class Gate {
 public:
  explicit Gate(std::span<const KernelLevel> levels) : levels_(levels) { gated_.table = levels.front().table; }

  // Takes the slot `member` of the first level that passes.
  template <typename Member>
  Status take(const std::string& kernel, Member member, const std::function<Finding(const CpuKernels&)>& check) {
    KernelChoice choice{kernel, "", {}};
    for (const KernelLevel& level : levels_) {
      Finding wrong = check(level.table);
      if (!wrong) {
        member(gated_.table) = member(level.table);
        choice.level = level.name;
        gated_.choices.push_back(std::move(choice));
        return Status::ok();
      }
      choice.rejected.push_back({level.name, std::move(*wrong)});
    }
    std::string message = "kernel '" + kernel + "' computes wrongly on this machine at every instruction set";
    for (const auto& r : choice.rejected) message += "; " + r.level + ": " + r.reason;
    return Status(StatusCode::kInternal, message);
  }

  GatedKernels finish() { return std::move(gated_); }

 private:
  std::span<const KernelLevel> levels_;
  GatedKernels gated_;
};

}  // namespace

Result<GatedKernels> gate_kernels(std::span<const KernelLevel> levels, const ParitySample& sample,
                                  WeightLayout layout) {
  FERRUM_CHECK(!levels.empty(), "a parity gate without kernels");
  ReferenceBackend reference;
  Gate gate(levels);
  bool quantized = false;
  for (const WeightRef& weight : sample.matrices) {
    const auto dtype = static_cast<size_t>(weight.matrix.dtype);
    if (levels.front().table.dot[dtype] == nullptr) continue;  // goes through F32's
    quantized = quantized || info(weight.matrix.dtype).quantized;
    const bool packed = layout == WeightLayout::kPanels && has_panels(weight.matrix.dtype);
    const DotCheck check(weight, packed, reference);
    const std::string name = "dot " + std::string(to_string(weight.matrix.dtype));
    const auto take = [&](const auto& slot) {
      return gate.take(name, slot, [&](const CpuKernels& table) { return check(slot(table)); });
    };
    const bool floats = packed && has_float_panels(weight.matrix.dtype);
    FERRUM_RETURN_IF_ERROR(floats   ? take([&](auto& table) -> auto& { return table.floats.panel[dtype]; })
                           : packed ? take([&](auto& table) -> auto& { return table.panel_dot[dtype]; })
                                    : take([&](auto& table) -> auto& { return table.dot[dtype]; }));
  }
  const int64_t hidden = sample.norm.dim(0);
  if (quantized) {
    FERRUM_RETURN_IF_ERROR(gate.take(
        "quantize", [](auto& table) -> auto& { return table.quantize; },
        [&](const Kernels& table) { return check_quantize(table, hidden); }));
  }
  FERRUM_RETURN_IF_ERROR(gate.take(
      "rms_norm", [](auto& table) -> auto& { return table.rms_norm; },
      [&](const Kernels& table) { return check_rms_norm(table, sample, reference); }));
  FERRUM_RETURN_IF_ERROR(gate.take(
      "add", [](auto& table) -> auto& { return table.add; },
      [&](const Kernels& table) { return check_add(table, hidden); }));
  FERRUM_RETURN_IF_ERROR(gate.take(
      "silu_mul", [](auto& table) -> auto& { return table.silu_mul; },
      [&](const Kernels& table) { return check_silu_mul(table, hidden, reference); }));
  const AttentionScene scene(sample, reference);
  const std::string kv(to_string(sample.kv_dtype));
  FERRUM_RETURN_IF_ERROR(gate.take(
      "rotate", [](auto& table) -> auto& { return table.rotate; },
      [&](const Kernels& table) { return scene.check_rotate(table); }));
  FERRUM_RETURN_IF_ERROR(gate.take(
      "store_kv " + kv, [](auto& table) -> auto& { return table.store_kv; },
      [&](const Kernels& table) { return scene.check_store(table); }));
  FERRUM_RETURN_IF_ERROR(gate.take(
      "attention " + kv, [](auto& table) -> auto& { return table.attention; },
      [&](const Kernels& table) { return scene.check_attention(table); }));
  return gate.finish();
}

}  // namespace ferrum
