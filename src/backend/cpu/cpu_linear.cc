// Linear on the cpu: quantises the input once, then cuts the rows of all parts into pieces for the thread pool.
#include "backend/cpu/cpu_linear.h"

#include <algorithm>

#include "backend/cpu/float_panels.h"
#include "backend/cpu/panels.h"
#include "backend/cpu/scratch.h"
#include "backend/host_backend.h"
#include "backend/op_checks.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

// A piece is what one thread takes at a time: some rows of one part with the tokens of one pass. Large enough to hide
// the hand-out and to be read as a stream, small enough that the threads end together.
constexpr int64_t kPiecesPerThread = 8;
constexpr int64_t kRowsOfPiece = 2 * kPanelRows;  // or a multiple of it
// Tokens that walk over all rows before the next ones do, and unpack the weights once: at most so many, and of long
// rows as many as let their activations stay in the second-level cache meanwhile. A multiple of the tiles that any
// kernel works in.
constexpr int64_t kTokensPerPass = 264;
constexpr int64_t kTokensPerTile = 24;
constexpr int64_t kActBlocksPerPass = (int64_t{1} << 20) / static_cast<int64_t>(sizeof(ActBlock));
static_assert(kTokensPerTile % kFloatTileTokens == 0 && kTokensPerPass % kTokensPerTile == 0);
// The same of one piece of stored rows.
constexpr int64_t kTokensPerStoredPass = 32;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Passes as even as tiles allow. Rows of float weights count as if they were quantised.
int64_t tokens_per_pass(int64_t tokens, int64_t act_blocks) {
  const int64_t most = std::clamp(kActBlocksPerPass / act_blocks, 2 * kTokensPerTile, kTokensPerPass);
  const int64_t even = divide_up(tokens, divide_up(tokens, most / kTokensPerTile * kTokensPerTile));
  return divide_up(even, kTokensPerTile) * kTokensPerTile;
}

class CpuLinear final : public Linear {
 public:
  // panels[p] holds part p, where it is not empty; the stored matrix is not read then.
  CpuLinear(CpuContext& context, LinearSpec spec, std::vector<Buffer> panels)
      : context_(context), spec_(std::move(spec)), panels_(std::move(panels)) {
    for (const WeightRef& part : spec_.parts) {
      out_features_ += part.matrix.dim(0);
      quantized_ = quantized_ || info(part.matrix.dtype).quantized;
      if (const FloatPanelKernel* kernel = float_panel(&part - spec_.parts.data())) {
        (tiles_[0].arrange == nullptr || tiles_[0].arrange == kernel->arrange ? tiles_[0] : tiles_[1]) = *kernel;
      }
    }
    act_blocks_ = act_blocks_of(in_features());
    const int64_t pieces = kPiecesPerThread * context_.pool.size();
    piece_rows_ = std::max<int64_t>(1, out_features_ / (pieces * kRowsOfPiece)) * kRowsOfPiece;
    for (const WeightRef& part : spec_.parts) pieces_ += divide_up(part.matrix.dim(0), piece_rows_);
  }

  int64_t in_features() const override { return spec_.parts[0].matrix.dim(1); }
  int64_t out_features() const override { return out_features_; }

  void forward(Ops&, ConstView x, View y) const override {
    op_checks::linear(x, y, in_features(), out_features_);
    FERRUM_CHECK(x.dim(0) <= context_.limits.max_tokens, "more tokens than the backend was made for");
    if (x.dim(0) == 0) return;
    if (quantized_) quantize(x);
    for (const FloatPanelKernel& kind : tiles_) {
      if (kind.arrange != nullptr) arrange(kind, x);
    }
    // All parts' pieces in one loop, so that a small part does not leave threads idle.
    const int64_t of_pass = tokens_per_pass(x.dim(0), act_blocks_), pieces = pieces_ * divide_up(x.dim(0), of_pass);
    const int64_t grain = in_features() * out_features_ < kWorthSharing / x.dim(0) ? pieces : 1;
    context_.pool.parallel_for(pieces, grain, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) compute(piece, of_pass, x, y);
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

  // What multiplies part p if it is in panels of float weights, else nullptr.
  const FloatPanelKernel* float_panel(std::ptrdiff_t p) const {
    const WeightRef& part = spec_.parts[static_cast<size_t>(p)];
    if (panels_[static_cast<size_t>(p)].bytes() == 0 || info(part.matrix.dtype).quantized) return nullptr;
    return &context_.kernels.floats.of(part.matrix.dtype);
  }

  // Parts of one Linear want at most two kinds of tiles: of floats and of BF16.
  std::byte* tiles(const FloatPanelKernel& kind) const {
    const auto one = static_cast<size_t>(context_.limits.max_tokens * float_tile_stride(in_features())) * sizeof(float);
    return static_cast<std::byte*>(context_.tiles.data()) + (kind.arrange == tiles_[0].arrange ? 0 : one);
  }

  void arrange(const FloatPanelKernel& kind, const ConstView& x) const {
    const int64_t stride = float_tile_stride(in_features());
    const int64_t grain = std::max<int64_t>(1, kElementsPerGrain / (in_features() * kFloatTileTokens));
    context_.pool.parallel_for(divide_up(x.dim(0), kFloatTileTokens), grain, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t token = tile * kFloatTileTokens;
        kind.arrange({x.row<float>(token), x.row_stride, std::min<int64_t>(kFloatTileTokens, x.dim(0) - token),
                      in_features(), stride, tiles(kind) + token * stride * kind.element});
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

  void compute(int64_t piece, int64_t of_pass, const ConstView& x, const View& y) const {
    const int64_t token = piece / pieces_ * of_pass;
    piece %= pieces_;
    int64_t column = 0;
    size_t p = 0;
    for (;; ++p) {
      const int64_t of_part = divide_up(spec_.parts[p].matrix.dim(0), piece_rows_);
      if (piece < of_part) break;
      piece -= of_part;
      column += spec_.parts[p].matrix.dim(0);
    }
    const WeightRef& part = spec_.parts[p];
    const auto type = static_cast<size_t>(part.matrix.dtype);
    const bool packed = panels_[p].bytes() > 0;
    const FloatPanelKernel* const floats = float_panel(static_cast<std::ptrdiff_t>(p));
    const Kernels::Dot dot = floats != nullptr ? floats->dot
                             : packed          ? context_.kernels.panel_dot[type]
                                               : context_.kernels.dot[type];
    if (dot == nullptr) return;
    const int64_t row = piece * piece_rows_;
    DotTask task = task_for(part.matrix.dtype, x, y, column + row);
    size_t unit = quantized_ && task.x == activations() ? sizeof(ActBlock) : sizeof(float);
    if (floats != nullptr) {
      task.row_bytes = panel_bytes(part.matrix.dtype, kPanelRows, in_features()) / kPanelRows;
      task.x = tiles(*floats);
      task.x_stride = float_tile_stride(in_features());
      unit = static_cast<size_t>(floats->element);
    }
    const void* weights = packed ? panels_[p].data() : part.matrix.data;
    task.weights = static_cast<const std::byte*>(weights) + static_cast<size_t>(row) * task.row_bytes;
    task.rows = std::min(piece_rows_, part.matrix.dim(0) - row);
    task.bias = part.bias.rank > 0 ? part.bias.as<float>() + row : nullptr;
    const int64_t tokens = std::min(of_pass, x.dim(0) - token);
    const int64_t pass = packed ? tokens : kTokensPerStoredPass;
    for (int64_t t = 0; t < tokens; t += pass) dot(some_tokens(task, unit, token + t, std::min(pass, tokens - t)));
  }

  // `unit` is the size of what task.x_stride counts.
  static DotTask some_tokens(DotTask task, size_t unit, int64_t first, int64_t tokens) {
    task.x = static_cast<const std::byte*>(task.x) + static_cast<size_t>(task.x_stride * first) * unit;
    task.y += task.y_stride * first;
    task.tokens = tokens;
    return task;
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
  std::vector<Buffer> panels_;
  int64_t out_features_ = 0;
  int64_t act_blocks_ = 0;               // ActBlocks from token to token
  int64_t piece_rows_ = 0, pieces_ = 0;  // of all parts, for one pass of tokens
  bool quantized_ = false;               // some part needs quantised activations
  FloatPanelKernel tiles_[2];            // how parts of float weights want theirs
};

}  // namespace

int64_t act_blocks_of(int64_t in_features) { return divide_up(in_features, kActElements) | 1; }

LinearScratch linear_scratch(DType dtype, int64_t in_features, int max_tokens, int threads) {
  LinearScratch scratch;
  if (has_float_panels(dtype)) {
    scratch.tiles = product(max_tokens, product(float_tile_stride(in_features), sizeof(float)));
  } else if (info(dtype).quantized) {
    scratch.activations = product(max_tokens, product(act_blocks_of(in_features), sizeof(ActBlock)));
  } else if (cpu_kernels(CpuIsa::kBaseline).dot[static_cast<size_t>(dtype)] == nullptr) {
    scratch.rows = product(threads, product(in_features, sizeof(float)));
  }
  return scratch;
}

Result<std::unique_ptr<Linear>> make_cpu_linear(CpuContext& context, LinearSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_linear(spec));
  const auto is_float = [](const WeightRef& part) { return has_float_panels(part.matrix.dtype); };
  const bool panels_of_floats = context.layout == WeightLayout::kPanels;
  const bool two_kinds = context.kernels.floats.of(DType::kBF16).element == 2 &&
                         std::any_of(spec.parts.begin(), spec.parts.end(), [&](const WeightRef& part) {
                           return is_float(part) && part.matrix.dtype != DType::kBF16;
                         });
  for (const WeightRef& part : spec.parts) {
    const LinearScratch need =
        linear_scratch(part.matrix.dtype, part.matrix.dim(1), context.limits.max_tokens, context.pool.size());
    if (panels_of_floats) FERRUM_RETURN_IF_ERROR(grow(context.tiles, product(need.tiles, two_kinds ? 2 : 1)));
    FERRUM_RETURN_IF_ERROR(grow(context.activations, need.activations));
    FERRUM_RETURN_IF_ERROR(grow(context.rows, need.rows));
  }
  std::vector<Buffer> panels(spec.parts.size());
  for (size_t p = 0; p < panels.size() && context.layout == WeightLayout::kPanels; ++p) {
    if (!has_panels(spec.parts[p].matrix.dtype)) continue;
    FERRUM_ASSIGN_OR_RETURN(panels[p],
                            pack_panels(spec.parts[p].matrix, spec.parts[p].mapped, context.pool, context.panels));
  }
  return std::unique_ptr<Linear>(std::make_unique<CpuLinear>(context, std::move(spec), std::move(panels)));
}

}  // namespace ferrum
