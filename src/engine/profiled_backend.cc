#include "engine/profiled_backend.h"

#include <array>
#include <string>

namespace ferrum {
namespace {

// The time from here to the end of the block belongs to `op`.
class Timed {
 public:
  Timed(OpProfile& profile, int op)
      : profile_(profile), op_(op), begin_(profile.active() ? OpProfile::monotonic_ns() : -1) {}
  ~Timed() {
    if (begin_ >= 0) profile_.add(op_, begin_, OpProfile::monotonic_ns());
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  OpProfile& profile_;
  const int op_;
  const int64_t begin_;
};

class ProfiledOps final : public Ops {
 public:
  ProfiledOps(Ops& inner, std::shared_ptr<OpProfile> profile) : inner_(inner), profile_(std::move(profile)) {}
  Ops& inner() const { return inner_; }

  void enter_layer(int layer) override {
    profile_->enter_layer(layer);
    inner_.enter_layer(layer);
  }
  void embed(ConstView table, ConstView ids, View y) override {
    const Timed timed(*profile_, embed_);
    inner_.embed(table, ids, y);
  }
  void rms_norm(ConstView x, ConstView weight, float eps, View y) override {
    const Timed timed(*profile_, rms_norm_);
    inner_.rms_norm(x, weight, eps, y);
  }
  void add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) override {
    const Timed timed(*profile_, add_rms_norm_);
    inner_.add_rms_norm(residual, delta, weight, eps, y);
  }
  void add(View x, ConstView delta) override {
    const Timed timed(*profile_, add_);
    inner_.add(x, delta);
  }
  void rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) override {
    const Timed timed(*profile_, rope_cos_sin_);
    inner_.rope_cos_sin(positions, inv_freq, magnitude, cos_sin);
  }
  void norm_rope_store(const QkvArgs& args) override {
    const Timed timed(*profile_, norm_rope_store_);
    inner_.norm_rope_store(args);
  }
  void attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) override {
    const Timed timed(*profile_, attention_);
    inner_.attention(plan, q, kv, out);
  }
  void silu_mul(ConstView gate_up, View y) override {
    const Timed timed(*profile_, silu_mul_);
    inner_.silu_mul(gate_up, y);
  }
  void gather_rows(ConstView x, ConstView rows, View y) override {
    const Timed timed(*profile_, gather_rows_);
    inner_.gather_rows(x, rows, y);
  }
  void route(const RouteArgs& args) override {
    const Timed timed(*profile_, route_);
    inner_.route(args);
  }
  void add_scaled(View x, ConstView delta, ConstView scale) override {
    const Timed timed(*profile_, add_scaled_);
    inner_.add_scaled(x, delta, scale);
  }
  // The time until the next phase belongs to this one.
  void enter_phase(ExpertPhase phase) override {
    if (profile_->active()) {
      const int64_t now = OpProfile::monotonic_ns();
      if (phase_ >= 0) profile_->add(phase_, phase_began_, now);
      phase_ = phase == ExpertPhase::kDone ? -1 : phases_[static_cast<size_t>(phase)];
      phase_began_ = now;
    }
    inner_.enter_phase(phase);
  }

 private:
  Ops& inner_;
  const std::shared_ptr<OpProfile> profile_;
  const int embed_ = profile_->op("embed");
  const int rms_norm_ = profile_->op("rms_norm");
  const int add_rms_norm_ = profile_->op("add_rms_norm");
  const int add_ = profile_->op("add");
  const int rope_cos_sin_ = profile_->op("rope_cos_sin");
  const int norm_rope_store_ = profile_->op("norm_rope_store");
  const int attention_ = profile_->op("attention");
  const int silu_mul_ = profile_->op("silu_mul");
  const int gather_rows_ = profile_->op("gather_rows");
  const int route_ = profile_->op("route");
  const int add_scaled_ = profile_->op("add_scaled");
  // In the order of ExpertPhase.
  const std::array<int, 7> phases_ = {profile_->op("experts plan"),   profile_->op("experts gather"),
                                      profile_->op("experts load"),   profile_->op("experts gate+up"),
                                      profile_->op("experts silu"),   profile_->op("experts down"),
                                      profile_->op("experts combine")};
  int phase_ = -1;
  int64_t phase_began_ = 0;
};

class ProfiledLinear final : public Linear {
 public:
  ProfiledLinear(std::unique_ptr<Linear> inner, std::shared_ptr<OpProfile> profile, const std::string& name)
      : inner_(std::move(inner)), profile_(std::move(profile)), op_(profile_->op(name)) {}

  int64_t in_features() const override { return inner_->in_features(); }
  int64_t out_features() const override { return inner_->out_features(); }
  void forward(Ops& ops, ConstView x, View y) const override {
    const Timed timed(*profile_, op_);
    auto* const profiled = dynamic_cast<ProfiledOps*>(&ops);
    inner_->forward(profiled == nullptr ? ops : profiled->inner(), x, y);
  }

 private:
  const std::unique_ptr<Linear> inner_;
  const std::shared_ptr<OpProfile> profile_;
  const int op_;
};

// "blk.3.attn_q.weight" of every layer is one operation: "linear attn_q".
std::string linear_name(const LinearSpec& spec) {
  std::string name = "linear ";
  for (const WeightRef& part : spec.parts) {
    std::string tensor = part.name;
    if (tensor.ends_with(".weight")) tensor.resize(tensor.size() - 7);
    if (tensor.starts_with("blk.")) tensor.erase(0, tensor.find('.', 4) + 1);
    name += (&part == spec.parts.data() ? "" : "+") + tensor;
  }
  return name;
}

class ProfiledBackend final : public Backend {
 public:
  ProfiledBackend(std::unique_ptr<Backend> inner, std::shared_ptr<OpProfile> profile)
      : inner_(std::move(inner)), profile_(std::move(profile)), ops_(inner_->ops(), profile_) {}

  std::string_view name() const override { return inner_->name(); }
  std::string describe() const override { return inner_->describe(); }
  bool supports(DType weight_type) const override { return inner_->supports(weight_type); }
  std::string arithmetic(std::span<const DType> weights) const override { return inner_->arithmetic(weights); }
  std::vector<KernelChoice> kernel_choices() const override { return inner_->kernel_choices(); }
  ExpertCacheCounts expert_cache() const override { return inner_->expert_cache(); }
  Ops& ops() override { return ops_; }
  Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) override {
    const std::string operation = linear_name(spec);
    FERRUM_ASSIGN_OR_RETURN(auto linear, inner_->make_linear(std::move(spec)));
    return std::unique_ptr<Linear>(std::make_unique<ProfiledLinear>(std::move(linear), profile_, operation));
  }
  // They time their phases themselves, through the ops that they are handed.
  Result<std::unique_ptr<Experts>> make_experts(ExpertsSpec spec) override {
    return inner_->make_experts(std::move(spec));
  }
  Result<Buffer> allocate(size_t bytes) override { return inner_->allocate(bytes); }
  Result<ConstView> place(ConstView host) override { return inner_->place(host); }
  Result<DeviceBatch> upload(const Batch& batch) override { return inner_->upload(batch); }
  Status copy_to_host(void* to, const void* from, size_t bytes) override {
    return inner_->copy_to_host(to, from, bytes);
  }
  Status copy_to_device(void* to, const void* from, size_t bytes) override {
    return inner_->copy_to_device(to, from, bytes);
  }
  Status copy_on_device(void* to, const void* from, size_t bytes) override {
    return inner_->copy_on_device(to, from, bytes);
  }
  Result<ConstView> download(ConstView device) override { return inner_->download(device); }

 private:
  const std::unique_ptr<Backend> inner_;
  const std::shared_ptr<OpProfile> profile_;
  ProfiledOps ops_;
};

}  // namespace

std::unique_ptr<Backend> profiled_backend(std::unique_ptr<Backend> inner, std::shared_ptr<OpProfile> profile) {
  return std::make_unique<ProfiledBackend>(std::move(inner), std::move(profile));
}

}  // namespace ferrum
