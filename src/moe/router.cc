#include "moe/router.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

bool usable(std::span<const float> logits, std::span<const float> bias) {
  float largest = kLowest;
  for (const float logit : logits) {
    if (!(logit <= std::numeric_limits<float>::max())) return false;  // NaN too
    largest = std::max(largest, logit);
  }
  const auto finite = [](float b) { return std::isfinite(b); };
  return largest > kLowest && std::all_of(bias.begin(), bias.end(), finite);
}

// Of equal values the one with the lower index stands first.
struct Better {
  std::span<const float> values;
  bool operator()(int32_t a, int32_t b) const {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  }
};

// Inserts `candidate` into the `count` best so far, of which at most best.size() are kept; they stay in order.
void keep_best(std::span<int32_t> best, size_t& count, int32_t candidate, const Better& better) {
  if (count == best.size() && !better(candidate, best[count - 1])) return;
  size_t at = count < best.size() ? count++ : count - 1;
  for (; at > 0 && better(candidate, best[at - 1]); --at) best[at] = best[at - 1];
  best[at] = candidate;
}

class TokenRouter {
 public:
  TokenRouter(const RouterSpec& spec, std::span<const float> logits, std::span<const float> bias)
      : spec_(spec), logits_(logits), bias_(bias) {}

  void route(const RoutedToken& out) {
    prepare();
    choose(out.ids);
    double total = 0;
    for (size_t i = 0; i < out.ids.size(); ++i) total += score(static_cast<size_t>(out.ids[i]));
    const double divisor = spec_.normalize && total > 0 ? total : 1.0;
    for (size_t i = 0; i < out.ids.size(); ++i) {
      const double weight = score(static_cast<size_t>(out.ids[i])) / divisor;
      out.weights[i] = static_cast<float>(weight * static_cast<double>(spec_.scale));
    }
  }

 private:
  double exponential(size_t e) const { return std::exp(static_cast<double>(logits_[e]) - largest_); }
  double score(size_t e) const {
    if (spec_.score == RouterScore::kSigmoid) return 1.0 / (1.0 + std::exp(-static_cast<double>(logits_[e])));
    return exponential(e) / sum_;
  }

  void prepare() {
    largest_ = static_cast<double>(*std::max_element(logits_.begin(), logits_.end()));
    const bool order_of_logits = bias_.empty() && (spec_.groups == 1 || spec_.group_experts == 1);
    const bool softmax = spec_.score == RouterScore::kSoftmax;
    // Normalised weights do not depend on what all the others sum to.
    if (softmax && !(spec_.normalize && order_of_logits)) {
      sum_ = 0;
      for (size_t e = 0; e < logits_.size(); ++e) sum_ += exponential(e);
    }
    values_ = logits_;
    if (order_of_logits) return;
    for (size_t e = 0; e < logits_.size(); ++e) {
      computed_[e] = static_cast<float>(score(e)) + (bias_.empty() ? 0.0f : bias_[e]);
    }
    values_ = std::span<const float>(computed_).first(logits_.size());
  }

  void choose(std::span<int32_t> ids) {
    const auto group_size = static_cast<int32_t>(spec_.num_experts / spec_.groups);
    size_t count = 0;
    for (const int32_t group : chosen_groups(group_size)) {
      for (int32_t e = group * group_size; e < (group + 1) * group_size; ++e) {
        keep_best(ids, count, e, {values_});
      }
    }
    FERRUM_CHECK(count == ids.size(), "fewer experts in the chosen groups than a token needs");
  }

  std::span<const int32_t> chosen_groups(int32_t group_size) {
    for (int32_t group = 0; group < spec_.groups; ++group) group_values_[static_cast<size_t>(group)] = 0;
    size_t count = 0;
    const auto wanted = static_cast<size_t>(spec_.top_groups);
    for (int32_t group = 0; group < spec_.groups; ++group) {
      if (spec_.groups > 1) group_values_[static_cast<size_t>(group)] = group_value(group, group_size);
      keep_best(std::span(groups_).first(wanted), count, group, {group_values_});
    }
    return std::span<const int32_t>(groups_).first(count);
  }

  // Sum of the group's best, in descending order.
  float group_value(int32_t group, int32_t group_size) {
    size_t count = 0;
    const auto best = std::span(members_).first(static_cast<size_t>(spec_.group_experts));
    for (int32_t e = group * group_size; e < (group + 1) * group_size; ++e) keep_best(best, count, e, {values_});
    float sum = 0;
    for (size_t i = 0; i < count; ++i) sum += values_[static_cast<size_t>(best[i])];
    return sum;
  }

  const RouterSpec& spec_;
  const std::span<const float> logits_, bias_;
  std::span<const float> values_;  // by which experts are compared
  double largest_ = 0, sum_ = 1;
  std::array<float, kMaxExperts> computed_, group_values_;
  std::array<int32_t, kMaxExperts> groups_, members_;
};

}  // namespace

Status validate_router(const RouterSpec& s) {
  const auto bad = [](const std::string& what) { return invalid_argument("router: " + what); };
  const auto number = [](int value) { return std::to_string(value); };
  if (s.num_experts < 1 || s.num_experts > kMaxExperts) {
    return bad(number(s.num_experts) + " experts; there can be 1 to " + number(kMaxExperts));
  }
  if (s.top_k < 1 || s.top_k > s.num_experts) {
    return bad(number(s.top_k) + " experts per token; it must be between 1 and the " + number(s.num_experts) +
               " experts that there are");
  }
  if (s.groups < 1 || s.num_experts % s.groups != 0) {
    return bad(number(s.groups) + " groups; they must divide the " + number(s.num_experts) + " experts");
  }
  const int group_size = s.num_experts / s.groups;
  if (s.top_groups < 1 || s.top_groups > s.groups || s.top_groups * group_size < s.top_k) {
    return bad("the best " + number(s.top_groups) + " of " + number(s.groups) + " groups do not hold " +
               number(s.top_k) + " experts per token");
  }
  if (s.group_experts < 1 || s.group_experts > group_size) {
    return bad("a group is valued by " + number(s.group_experts) + " of its " + number(group_size) + " experts");
  }
  if (!std::isfinite(s.scale)) return bad("the scale of the weights is not a number");
  return Status::ok();
}

bool route_token(const RouterSpec& spec, std::span<const float> logits, std::span<const float> bias,
                 const RoutedToken& out) {
  FERRUM_DCHECK(logits.size() == static_cast<size_t>(spec.num_experts), "router logits of another model");
  FERRUM_DCHECK(bias.empty() || bias.size() == logits.size(), "router bias of another model");
  if (!usable(logits, bias)) {
    for (size_t i = 0; i < out.ids.size(); ++i) {
      out.ids[i] = static_cast<int32_t>(i);
      out.weights[i] = std::numeric_limits<float>::quiet_NaN();
    }
    return false;
  }
  TokenRouter(spec, logits, bias).route(out);
  return true;
}

float shared_expert_weight(float logit) {
  return static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(logit))));
}

}  // namespace ferrum
