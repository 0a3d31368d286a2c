// Linear on the cpu: quantises the input once, then cuts the rows of all parts into pieces for the thread pool.
#include "backend/cpu/cpu_linear.h"

#include <algorithm>
#include <limits>

#include "backend/host_backend.h"
#include "backend/op_checks.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

// Rows that one thread takes at a time: large enough to hide the hand-out, small enough that two threads end together.
constexpr int64_t kRowsPerPiece = 16;
// Tokens that walk over one piece of rows together: their activations stay in the second-level cache meanwhile.
constexpr int64_t kTokensPerPass = 32;

// Multiply-adds below which one thread is done before others would have started: some four microseconds.
constexpr int64_t kWorthSharing = int64_t{1} << 18;
constexpr int64_t kElementsPerGrain = 16384;  // likewise, activations to quantise

int64_t pieces_of(int64_t rows) { return (rows + kRowsPerPiece - 1) / kRowsPerPiece; }

class CpuLinear final : public Linear {
 public:
  CpuLinear(CpuContext& context, LinearSpec spec) : context_(context), spec_(std::move(spec)) {
    for (const WeightRef& part : spec_.parts) {
      out_features_ += part.matrix.dim(0);
      quantized_ = quantized_ || info(part.matrix.dtype).quantized;
    }
    act_blocks_ = (in_features() + kActElements - 1) / kActElements;
  }

  int64_t in_features() const override { return spec_.parts[0].matrix.dim(1); }
  int64_t out_features() const override { return out_features_; }

  void forward(Ops&, ConstView x, View y) const override {
    op_checks::linear(x, y, in_features(), out_features_);
    FERRUM_CHECK(x.dim(0) <= context_.limits.max_tokens, "more tokens than the backend was made for");
    if (x.dim(0) == 0) return;
    if (quantized_) quantize(x);
    // All parts' pieces in one loop, so that a small part does not leave threads idle.
    int64_t pieces = 0;
    for (const WeightRef& part : spec_.parts) pieces += pieces_of(part.matrix.dim(0));
    const int64_t grain = in_features() * out_features_ < kWorthSharing / x.dim(0) ? pieces : 1;
    context_.pool.parallel_for(pieces, grain, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) compute(piece, x, y);
    });
    int64_t column = 0;
    for (const WeightRef& part : spec_.parts) {
      if (context_.kernels.dot[static_cast<size_t>(part.matrix.dtype)] == nullptr) convert_rows(part, x, y, column);
      column += part.matrix.dim(0);
    }
  }

 private:
  ActBlock* activations() const { return static_cast<ActBlock*>(context_.activations.data()); }

  void quantize(const ConstView& x) const {
    const int64_t grain = std::max<int64_t>(1, kElementsPerGrain / in_features());
    context_.pool.parallel_for(x.dim(0), grain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        context_.kernels.quantize(x.row<float>(t), in_features(), activations() + t * act_blocks_);
      }
    });
  }

  DotTask task_for(DType dtype, const ConstView& x, const View& y, int64_t column) const {
    DotTask task;
    task.row_bytes = bytes_of(dtype, in_features());
    task.columns = in_features();
    const bool as_float = !info(dtype).quantized;
    task.x = as_float ? x.data : activations();
    task.x_stride = as_float ? x.row_stride : act_blocks_;
    task.tokens = x.dim(0);
    task.y = y.as<float>() + column;
    task.y_stride = y.row_stride;
    return task;
  }

  void compute(int64_t piece, const ConstView& x, const View& y) const {
    int64_t column = 0;
    size_t p = 0;
    for (; piece >= pieces_of(spec_.parts[p].matrix.dim(0)); ++p) {
      piece -= pieces_of(spec_.parts[p].matrix.dim(0));
      column += spec_.parts[p].matrix.dim(0);
    }
    const WeightRef& part = spec_.parts[p];
    const Kernels::Dot dot = context_.kernels.dot[static_cast<size_t>(part.matrix.dtype)];
    if (dot == nullptr) return;
    const int64_t row = piece * kRowsPerPiece;
    DotTask task = task_for(part.matrix.dtype, x, y, column + row);
    task.weights = static_cast<const std::byte*>(part.matrix.data) + static_cast<size_t>(row) * task.row_bytes;
    task.rows = std::min(kRowsPerPiece, part.matrix.dim(0) - row);
    task.bias = part.bias.rank > 0 ? part.bias.as<float>() + row : nullptr;
    run_in_passes(dot, task, info(part.matrix.dtype).quantized ? sizeof(ActBlock) : sizeof(float));
  }

  // `x_unit` is the size of what task.x_stride counts.
  void run_in_passes(Kernels::Dot dot, DotTask task, size_t x_unit) const {
    const int64_t tokens = task.tokens;
    for (int64_t t = 0; t < tokens; t += kTokensPerPass) {
      task.tokens = std::min(kTokensPerPass, tokens - t);
      dot(task);
      task.x = static_cast<const std::byte*>(task.x) + static_cast<size_t>(task.x_stride * kTokensPerPass) * x_unit;
      task.y += task.y_stride * kTokensPerPass;
    }
  }

  // F64 and integer weights, one row at a time through each thread's row buffer.
  void convert_rows(const WeightRef& part, const ConstView& x, const View& y, int64_t column) const {
    const int64_t rows = part.matrix.dim(0), threads = context_.pool.size();
    const int64_t share = (rows + threads - 1) / threads;
    context_.pool.parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t thread = begin; thread < end; ++thread) {
        float* row = static_cast<float*>(context_.rows.data()) + thread * in_features();
        for (int64_t r = thread * share; r < std::min(rows, (thread + 1) * share); ++r) {
          const size_t row_bytes = bytes_of(part.matrix.dtype, in_features());
          const auto* stored = static_cast<const std::byte*>(part.matrix.data) + static_cast<size_t>(r) * row_bytes;
          dequantize_row(part.matrix.dtype, stored, row, in_features());
          DotTask task = task_for(DType::kF32, x, y, column + r);
          task.weights = reinterpret_cast<const std::byte*>(row);
          task.rows = 1;
          task.bias = part.bias.rank > 0 ? part.bias.as<float>() + r : nullptr;
          context_.kernels.dot[static_cast<size_t>(DType::kF32)](task);
        }
      }
    });
  }

  CpuContext& context_;
  LinearSpec spec_;
  int64_t out_features_ = 0;
  int64_t act_blocks_ = 0;  // ActBlocks per token
  bool quantized_ = false;  // some part needs quantised activations
};

// Makes `buffer` at least `bytes` large.
Status grow(Buffer& buffer, int64_t bytes) {
  if (buffer.bytes() >= static_cast<size_t>(bytes)) return Status::ok();
  FERRUM_ASSIGN_OR_RETURN(buffer, Buffer::host(static_cast<size_t>(bytes)));
  return Status::ok();
}

// Saturates: such a size is refused when it is asked for.
int64_t product(int64_t a, int64_t b) {
  int64_t bytes = 0;
  return __builtin_mul_overflow(a, b, &bytes) ? std::numeric_limits<int64_t>::max() : bytes;
}

}  // namespace

LinearScratch linear_scratch(DType dtype, int64_t in_features, int max_tokens, int threads) {
  LinearScratch scratch;
  if (info(dtype).quantized) {
    const int64_t blocks = (in_features + kActElements - 1) / kActElements;
    scratch.activations = product(max_tokens, product(blocks, sizeof(ActBlock)));
  } else if (cpu_kernels(CpuIsa::kBaseline).dot[static_cast<size_t>(dtype)] == nullptr) {
    scratch.rows = product(threads, product(in_features, sizeof(float)));
  }
  return scratch;
}

Result<std::unique_ptr<Linear>> make_cpu_linear(CpuContext& context, LinearSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_linear(spec));
  for (const WeightRef& part : spec.parts) {
    const LinearScratch need =
        linear_scratch(part.matrix.dtype, part.matrix.dim(1), context.limits.max_tokens, context.pool.size());
    FERRUM_RETURN_IF_ERROR(grow(context.activations, need.activations));
    FERRUM_RETURN_IF_ERROR(grow(context.rows, need.rows));
  }
  return std::unique_ptr<Linear>(std::make_unique<CpuLinear>(context, std::move(spec)));
}

}  // namespace ferrum
