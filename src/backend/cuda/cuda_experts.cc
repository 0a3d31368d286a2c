#include "backend/cuda/cuda_experts.h"

#include <algorithm>

#include "backend/cuda/device_matrix.h"
#include "backend/op_checks.h"

namespace ferrum::cuda {
namespace {

// The same matrix of all experts: the gates, say.
struct Role {
  DeviceMatrices matrices;
  Buffer table;              // StoredMatrix [experts]
  std::vector<DType> types;  // that there are, each once: a launch each
  int64_t rows = 0, columns = 0;

  bool any_quants() const {
    return std::any_of(types.begin(), types.end(), [](DType type) { return format_index(type) >= 0; });
  }
};

Result<Role> make_role(Device& device, const ExpertsSpec& spec, WeightRef ExpertWeights::*member) {
  Role role;
  std::vector<WeightRef> refs;
  for (const ExpertWeights& expert : spec.experts) {
    refs.push_back(expert.*member);
    const DType type = refs.back().matrix.dtype;
    if (std::find(role.types.begin(), role.types.end(), type) == role.types.end()) role.types.push_back(type);
  }
  role.rows = refs[0].matrix.dim(0);
  role.columns = refs[0].matrix.dim(1);
  FERRUM_ASSIGN_OR_RETURN(role.matrices, copy_matrices(device, refs));
  const std::vector<StoredMatrix>& all = role.matrices.matrices;
  FERRUM_ASSIGN_OR_RETURN(role.table, copy_of(device, all.data(), all.size() * sizeof(all[0])));
  return role;
}

// The arrays of an ExpertPlan follow each other; every element has four bytes or three times as many.
int64_t plan_bytes(int64_t experts, int64_t pairs) {
  const auto tiles = most_tiles(pairs, experts, 8 * kTokenTiles[0]);  // the smallest, hence most
  return static_cast<int64_t>(sizeof(int32_t)) * (experts + 2 * pairs + 1) +
         static_cast<int64_t>(sizeof(ExpertTile)) * tiles;
}
ExpertPlan plan_in(const Buffer& buffer, int64_t experts, int64_t pairs) {
  auto* const counts = static_cast<int32_t*>(buffer.data());
  int32_t* const token_of_row = counts + experts;
  int32_t* const row_of_pair = token_of_row + pairs;
  int32_t* const num_tiles = row_of_pair + pairs;
  return {counts, token_of_row, row_of_pair, reinterpret_cast<ExpertTile*>(num_tiles + 1), num_tiles};
}

class CudaExperts final : public Experts {
 public:
  CudaExperts(Role gate, Role up, Role down, int top_k, int max_tokens, Queue& queue, const ExpertScratch& scratch)
      : gate_(std::move(gate)),
        up_(std::move(up)),
        down_(std::move(down)),
        top_k_(top_k),
        max_tokens_(max_tokens),
        queue_(queue),
        scratch_(scratch) {}

  int64_t num_experts() const override { return static_cast<int64_t>(gate_.matrices.matrices.size()); }

  void forward(Ops& ops, ConstView x, const Routing& routing, View y) const override {
    op_checks::experts(x, routing, y, gate_.columns, top_k_);
    FERRUM_CHECK(x.dim(0) <= max_tokens_, "more tokens than the backend was made for");
    const int64_t ffn = gate_.rows, pairs = x.dim(0) * top_k_;
    ops.enter_phase(ExpertPhase::kPlan);
    const Step step = plan(routing, pairs);
    // silu(gate) * up comes to where gate was.
    auto* const hidden = static_cast<float*>(scratch_.hidden.data());
    const Rows gate{hidden, 2 * ffn}, up{hidden + ffn, 2 * ffn};
    const ConstRows gate_up{hidden, 2 * ffn};
    auto* const results = static_cast<float*>(scratch_.results.data());

    ops.enter_phase(ExpertPhase::kGather);
    const Input tokens = input({x.as<float>(), x.row_stride}, step.plan.token_of_row,
                               gate_.any_quants() || up_.any_quants(), gate_.columns, pairs);
    ops.enter_phase(ExpertPhase::kGateUp);
    multiply(gate_, tokens, gate, step);
    multiply(up_, tokens, up, step);
    ops.enter_phase(ExpertPhase::kActivation);
    queue_.launch(queue_.kernels().rows.silu_mul, elements_shape(pairs, ffn), {gate_up, gate, ffn});
    ops.enter_phase(ExpertPhase::kDown);
    multiply(down_, input(gate_up, nullptr, down_.any_quants(), ffn, pairs), {results, down_.rows}, step);
    ops.enter_phase(ExpertPhase::kCombine);
    const CombineArgs sum{{results, down_.rows},         step.plan.row_of_pair,
                          routing.weights.as<float>(),   top_k_,
                          {y.as<float>(), y.row_stride}, y.dim(1)};
    queue_.launch(queue_.kernels().experts.combine, combine_shape(y.dim(0), sum), sum);
    ops.enter_phase(ExpertPhase::kDone);
  }

 private:
  struct Step {
    ExpertPlan plan;
    int64_t pairs, most_tiles;
    int variant;  // of kTokenTiles
    int tile_rows() const { return 8 * kTokenTiles[variant]; }
  };
  // Rows that a role multiplies: row i is row from[i] of `floats`, or row i; quantised, too, if any matrix wants that.
  struct Input {
    ConstRows floats;
    const int32_t* from;
    QuantActivations quantised;
  };

  Step plan(const Routing& routing, int64_t pairs) const {
    const int64_t experts = num_experts();
    // Which tiles changes no bit. Large ones share the unpacking of weights, if there are rows to fill them.
    const int variant = pairs <= 8 * kTokenTiles[0] * experts ? 0 : 1;
    Step step{plan_in(scratch_.plan, experts, pairs), pairs, 0, variant};
    step.most_tiles = most_tiles(pairs, experts, step.tile_rows());
    const ExpertPlanArgs args{routing.ids.as<int32_t>(), pairs,    static_cast<int>(experts), top_k_,
                              step.tile_rows(),          step.plan};
    queue_.launch(queue_.kernels().experts.count, plan_shape(args), args);
    queue_.launch(queue_.kernels().experts.place, plan_shape(args), args);
    return step;
  }

  Input input(ConstRows floats, const int32_t* from, bool quantised, int64_t columns, int64_t pairs) const {
    Input in{floats, from, {}};
    if (!quantised) return in;
    in.quantised = scratch_.activations.arrays(pairs, columns);
    queue_.launch(queue_.kernels().linear.quantize, quantize_shape(pairs, columns),
                  {floats, from, in.quantised, columns});
    return in;
  }

  void multiply(const Role& role, const Input& x, const Rows& y, const Step& step) const {
    const ExpertTiles tiles{step.plan.tiles, step.plan.num_tiles, static_cast<const StoredMatrix*>(role.table.data()),
                            step.most_tiles, step.tile_rows()};
    const LinearKernels& kernels = queue_.kernels().linear;
    for (const DType type : role.types) {
      const StoredMatrix of_type{type, {}, nullptr, nullptr};
      if (format_index(type) >= 0) {
        const QuantLinearArgs args{of_type, x.quantised, y, role.rows, role.columns, step.pairs, tiles};
        queue_.launch(kernels.quants[format_index(type)][step.variant],
                      quant_linear_shape(args, kTokenTiles[step.variant]), args);
        continue;
      }
      const auto row_bytes = static_cast<int64_t>(bytes_of(type, role.columns));
      const FloatLinearArgs args{of_type, row_bytes, x.floats, x.from, y, role.rows, role.columns, step.pairs, tiles};
      queue_.launch(kernels.floats, float_linear_shape(args), args);
    }
  }

  const Role gate_, up_, down_;
  const int top_k_, max_tokens_;
  Queue& queue_;
  const ExpertScratch& scratch_;
};

}  // namespace

void ExpertScratchBytes::grow(const ExpertScratchBytes& other) {
  plan = std::max(plan, other.plan);
  hidden = std::max(hidden, other.hidden);
  results = std::max(results, other.results);
  activations = std::max(activations, other.activations);
}

ExpertScratchBytes expert_scratch_bytes(const ExpertsSpec& spec, int max_tokens) {
  const ConstView& gate = spec.experts[0].gate.matrix;
  const int64_t ffn = gate.dim(0), hidden = gate.dim(1), pairs = int64_t{max_tokens} * spec.top_k;
  const auto size = static_cast<int64_t>(sizeof(float));
  ExpertScratchBytes s;
  s.plan = plan_bytes(static_cast<int64_t>(spec.experts.size()), pairs);
  s.hidden = 2 * pairs * ffn * size;
  s.results = pairs * hidden * size;
  for (const ExpertWeights& expert : spec.experts) {
    for (const WeightRef* weight : {&expert.gate, &expert.up, &expert.down}) {
      if (format_index(weight->matrix.dtype) < 0) continue;
      s.activations = std::max(s.activations, ActivationScratch::bytes(pairs, weight->matrix.dim(1)));
    }
  }
  return s;
}

Result<std::unique_ptr<Experts>> make_cuda_experts(const ExpertsSpec& spec, Queue& queue, ExpertScratch& scratch,
                                                   int max_tokens) {
  Device& device = queue.device();
  const ExpertScratchBytes need = expert_scratch_bytes(spec, max_tokens);
  FERRUM_RETURN_IF_ERROR(grow(device, scratch.plan, need.plan));
  FERRUM_RETURN_IF_ERROR(grow(device, scratch.hidden, need.hidden));
  FERRUM_RETURN_IF_ERROR(grow(device, scratch.results, need.results));
  FERRUM_RETURN_IF_ERROR(scratch.activations.reserve(device, need.activations));
  FERRUM_ASSIGN_OR_RETURN(Role gate, make_role(device, spec, &ExpertWeights::gate));
  FERRUM_ASSIGN_OR_RETURN(Role up, make_role(device, spec, &ExpertWeights::up));
  FERRUM_ASSIGN_OR_RETURN(Role down, make_role(device, spec, &ExpertWeights::down));
  return std::unique_ptr<Experts>(std::make_unique<CudaExperts>(std::move(gate), std::move(up), std::move(down),
                                                                spec.top_k, max_tokens, queue, scratch));
}

}  // namespace ferrum::cuda
