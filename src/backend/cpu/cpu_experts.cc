// Experts on the cpu: every active expert's pieces of rows in one parallel loop, first those of gate and up, which give
// the hidden layers of all pairs (token, expert), then those of down, which add to the tokens' results.
//
// The loops cut weights, not experts, so that busy experts do not leave threads idle; a piece computes all tokens of
// its expert. Rows of activations that an expert needs do not lie together: with few tokens it takes them one at a time
// where they are, with more they are gathered first and share the unpacked weights. A kernel gives the same bits for a
// token alone and among others, so it does not matter which.
#include "backend/cpu/cpu_experts.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_expert_store.h"
#include "backend/cpu/cpu_linear.h"
#include "backend/cpu/scratch.h"
#include "backend/host_backend.h"
#include "backend/op_checks.h"

namespace ferrum {
namespace {

constexpr int64_t kPieceRows = CpuMatrix::kPieceRows;
// Tokens of an expert that go through a piece together: their results stay in the first-level cache.
constexpr int64_t kTokensPerPiece = 128;
constexpr int64_t kWorkPerGrain = int64_t{1} << 16;  // multiply-adds that are worth handing out

// Pieces of a loop that a thread takes at a time.
int64_t grain_of(int64_t pieces, int64_t multiply_adds) {
  if (multiply_adds < kWorthSharing) return std::max<int64_t>(1, pieces);
  return std::max<int64_t>(1, kWorkPerGrain / std::max<int64_t>(1, multiply_adds / std::max<int64_t>(1, pieces)));
}

// What kinds of rows some matrices read.
struct Wants {
  bool blocks = false, floats = false;
  void add(const ConstView& matrix) { (info(matrix.dtype).quantized ? blocks : floats) = true; }
};

struct AllWants {
  Wants input, hidden;
};
AllWants wants_of(const ExpertsSpec& spec) {
  AllWants all;
  for (const ExpertWeights& expert : spec.experts) {
    all.input.add(expert.gate.matrix);
    all.input.add(expert.up.matrix);
    all.hidden.add(expert.down.matrix);
  }
  return all;
}

class CpuExperts final : public Experts {
 public:
  CpuExperts(CpuContext& context, const ExpertsSpec& spec, std::unique_ptr<CpuExpertStore> store)
      : context_(context),
        store_(std::move(store)),
        top_k_(spec.top_k),
        wants_(wants_of(spec)),
        hidden_size_((*store_)[0].gate.columns()),
        ffn_((*store_)[0].gate.rows()) {}

  int64_t num_experts() const override { return store_->count(); }

  void forward(Ops& ops, ConstView x, const Routing& routing, View y) const override {
    op_checks::experts(x, routing, y, hidden_size_, top_k_);
    FERRUM_CHECK(x.dim(0) <= context_.limits.max_tokens, "more tokens than the backend was made for");
    if (x.dim(0) == 0) return;
    ops.enter_phase(ExpertPhase::kPlan);
    const auto pairs = static_cast<size_t>(x.dim(0) * top_k_);
    context_.plan.rebuild({routing.ids.as<int32_t>(), pairs}, {routing.weights.as<float>(), pairs},
                          static_cast<int>(num_experts()), top_k_);
    ops.enter_phase(ExpertPhase::kGather);
    const CpuInput tokens = quantize_tokens(x);
    const bool together = x.dim(0) >= context_.limits.expert_batch_threshold;
    const CpuInput input = together ? gather(tokens) : tokens;
    const Round all = plan().active_experts();
    store_->begin_step(all);
    for (size_t done = 0; done < all.size();) {
      ops.enter_phase(ExpertPhase::kLoad);
      const Round round = all.subspan(done, store_->next_round(all.subspan(done)));
      ops.enter_phase(ExpertPhase::kGateUp);
      gate_up(round, input, together);
      ops.enter_phase(ExpertPhase::kActivation);
      const CpuInput hidden = quantize_hidden(round);
      ops.enter_phase(ExpertPhase::kDown);
      down(round, hidden, y, done == 0);
      done += round.size();
    }
    ops.enter_phase(ExpertPhase::kDone);
  }

 private:
  // Active experts that follow each other: those that are in memory together, usually all.
  using Round = std::span<const int32_t>;

  const BucketPlan& plan() const { return context_.plan; }
  float* hidden_rows() const { return static_cast<float*>(context_.expert_hidden.data()); }

  template <typename Body>
  void for_rows(int64_t rows, int64_t width, const Body& body) const {
    const int64_t grain = std::max<int64_t>(1, kElementsPerGrain / width);
    context_.pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row);
    });
  }

  CpuInput quantize_tokens(const ConstView& x) const {
    CpuInput in;
    in.rows = x.dim(0);
    in.floats = x.as<float>();
    in.float_stride = x.row_stride;
    if (!wants_.input.blocks) return in;
    auto* blocks = static_cast<ActBlock*>(context_.activations.data());
    in.blocks = blocks;
    in.block_stride = act_blocks_of(hidden_size_);
    for_rows(in.rows, hidden_size_, [&](int64_t t) {
      context_.kernels.quantize(x.row<float>(t), hidden_size_, blocks + t * in.block_stride);
    });
    return in;
  }

  // The rows that experts read, in the order of the plan.
  CpuInput gather(const CpuInput& tokens) const {
    CpuInput out;
    out.rows = plan().pairs();
    auto* place = static_cast<std::byte*>(context_.gathered.data());
    const auto block_bytes = static_cast<size_t>(tokens.block_stride) * sizeof(ActBlock);
    const auto float_bytes = static_cast<size_t>(hidden_size_) * sizeof(float);
    auto* blocks = reinterpret_cast<ActBlock*>(place);
    auto* floats =
        reinterpret_cast<float*>(place + (wants_.input.blocks ? static_cast<size_t>(out.rows) * block_bytes : 0));
    out.blocks = blocks;
    out.block_stride = tokens.block_stride;
    out.floats = floats;
    out.float_stride = hidden_size_;
    for_rows(out.rows, hidden_size_, [&](int64_t row) {
      const int64_t token = plan().packed_token_idx()[static_cast<size_t>(row)];
      if (wants_.input.blocks) {
        std::memcpy(blocks + row * out.block_stride, tokens.blocks + token * tokens.block_stride, block_bytes);
      }
      if (wants_.input.floats) {
        std::memcpy(floats + row * hidden_size_, tokens.floats + token * tokens.float_stride, float_bytes);
      }
    });
    return out;
  }

  int64_t first_row(Round round) const { return plan().expert_offsets()[static_cast<size_t>(round.front())]; }
  int64_t rows_of(Round round) const {
    return plan().expert_offsets()[static_cast<size_t>(round.back()) + 1] - first_row(round);
  }

  // hidden[row] = silu(gate(x)) * up(x) of every packed row.
  void gate_up(Round round, const CpuInput& in, bool together) const {
    const int64_t per_expert = (*store_)[0].gate.pieces();
    const int64_t pieces = static_cast<int64_t>(round.size()) * per_expert;
    const int64_t grain = grain_of(pieces, 2 * rows_of(round) * hidden_size_ * ffn_);
    context_.pool.parallel_for(pieces, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        gate_up_piece(round[static_cast<size_t>(i / per_expert)], i % per_expert, in, together);
      }
    });
  }

  void gate_up_piece(int32_t id, int64_t piece, const CpuInput& in, bool together) const {
    const CpuExpert& expert = (*store_)[id];
    const int64_t first = plan().expert_offsets()[static_cast<size_t>(id)], rows = plan().rows_of(id);
    const int64_t width = expert.gate.rows_of(piece);
    alignas(64) float gate[kTokensPerPiece * kPieceRows], up[kTokensPerPiece * kPieceRows];
    for (int64_t done = 0; done < rows; done += kTokensPerPiece) {
      const int64_t count = std::min(kTokensPerPiece, rows - done);
      const auto compute = [&](const CpuInput& x, int64_t at) {
        expert.gate.compute(piece, x, gate + at * width, width);
        expert.up.compute(piece, x, up + at * width, width);
      };
      if (together) {
        compute(in.from_row(first + done, count), 0);
      } else {
        for (int64_t i = 0; i < count; ++i) {
          compute(in.from_row(plan().packed_token_idx()[static_cast<size_t>(first + done + i)], 1), i);
        }
      }
      context_.kernels.silu_mul(gate, up, count * width, gate);
      float* to = hidden_rows() + (first + done) * ffn_ + piece * kPieceRows;
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(to + i * ffn_, gate + i * width, static_cast<size_t>(width) * sizeof(float));
      }
    }
  }

  // Indexed by packed row; those of the round are new.
  CpuInput quantize_hidden(Round round) const {
    CpuInput out;
    out.rows = plan().pairs();
    out.floats = hidden_rows();
    out.float_stride = ffn_;
    if (!wants_.hidden.blocks) return out;
    auto* blocks = static_cast<ActBlock*>(context_.expert_blocks.data());
    out.blocks = blocks;
    out.block_stride = act_blocks_of(ffn_);
    for_rows(rows_of(round), ffn_, [&, first = first_row(round)](int64_t i) {
      const int64_t row = first + i;
      context_.kernels.quantize(hidden_rows() + row * ffn_, ffn_, blocks + row * out.block_stride);
    });
    return out;
  }

  // A thread that has a piece of the hidden size adds all experts to it, in ascending order; to nothing, if these are
  // the first.
  void down(Round round, const CpuInput& hidden, const View& y, bool are_first) const {
    const int64_t pieces = (*store_)[0].down.pieces();
    const int64_t grain = grain_of(pieces, rows_of(round) * hidden_size_ * ffn_);
    context_.pool.parallel_for(pieces, grain, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kPieceRows, last = std::min(hidden_size_, end * kPieceRows);
      for (int64_t t = 0; are_first && t < y.dim(0); ++t)
        std::fill(y.row<float>(t) + first, y.row<float>(t) + last, 0.0f);
      for (const int32_t id : round) {  // its pieces lie together and are read as a stream
        for (int64_t piece = begin; piece < end; ++piece) add_down_piece(id, piece, hidden, y);
      }
    });
  }

  void add_down_piece(int32_t id, int64_t piece, const CpuInput& hidden, const View& y) const {
    const CpuMatrix& matrix = (*store_)[id].down;
    const int64_t first = plan().expert_offsets()[static_cast<size_t>(id)], rows = plan().rows_of(id);
    const int64_t width = matrix.rows_of(piece);
    alignas(64) float result[kTokensPerPiece * kPieceRows];
    for (int64_t done = 0; done < rows; done += kTokensPerPiece) {
      const int64_t count = std::min(kTokensPerPiece, rows - done);
      matrix.compute(piece, hidden.from_row(first + done, count), result, kPieceRows);
      for (int64_t i = 0; i < count; ++i) {
        const auto row = static_cast<size_t>(first + done + i);
        const float weight = plan().pair_weights()[static_cast<size_t>(plan().packed_pairs()[row])];
        float* to = y.row<float>(plan().packed_token_idx()[row]) + piece * kPieceRows;
        for (int64_t r = 0; r < width; ++r) to[r] += weight * result[i * kPieceRows + r];
      }
    }
  }

  CpuContext& context_;
  const std::unique_ptr<CpuExpertStore> store_;
  const int top_k_;
  const AllWants wants_;
  const int64_t hidden_size_, ffn_;
};

}  // namespace

ExpertScratch expert_scratch(const ExpertsSpec& spec, int max_tokens) {
  const AllWants wants = wants_of(spec);
  const ConstView& gate = spec.experts[0].gate.matrix;
  const int64_t hidden = gate.dim(1), ffn = gate.dim(0), pairs = product(max_tokens, spec.top_k);
  const int64_t block_row = product(act_blocks_of(hidden), sizeof(ActBlock)),
                float_row = product(hidden, sizeof(float));
  ExpertScratch s;
  s.gathered = product(pairs, (wants.input.blocks ? block_row : 0) + (wants.input.floats ? float_row : 0));
  s.plan = BucketPlan::reserved_bytes(static_cast<int>(spec.experts.size()), pairs);
  s.hidden = product(pairs, product(ffn, sizeof(float)));
  if (wants.hidden.blocks) s.blocks = product(pairs, product(act_blocks_of(ffn), sizeof(ActBlock)));
  return s;
}

Result<std::unique_ptr<Experts>> make_cpu_experts(CpuContext& context, ExpertsSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_experts(spec));
  const int max_tokens = context.limits.max_tokens;
  const ExpertScratch need = expert_scratch(spec, max_tokens);
  FERRUM_RETURN_IF_ERROR(grow(context.gathered, need.gathered));
  FERRUM_RETURN_IF_ERROR(grow(context.expert_hidden, need.hidden));
  FERRUM_RETURN_IF_ERROR(grow(context.expert_blocks, need.blocks));
  context.plan.reserve(static_cast<int>(spec.experts.size()), int64_t{max_tokens} * spec.top_k);
  for (const ExpertWeights& weights : spec.experts) {
    for (const WeightRef* weight : {&weights.gate, &weights.up}) {
      const LinearScratch tokens =
          linear_scratch(weight->matrix.dtype, weight->matrix.dim(1), max_tokens, context.pool.size());
      FERRUM_RETURN_IF_ERROR(grow(context.activations, tokens.activations));
    }
  }
  FERRUM_ASSIGN_OR_RETURN(auto store, CpuExpertStore::create(context, spec));
  return std::unique_ptr<Experts>(std::make_unique<CpuExperts>(context, spec, std::move(store)));
}

}  // namespace ferrum
