// What the router of a layer chose since the start.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrum {

struct ExpertLoad {
  std::vector<int64_t> tokens;  // by expert: those that chose it
  int64_t without_numbers = 0;  // tokens whose logits were NaN or infinite
};

// Entropy of the choices over that of equal use: 1 = every expert as often as the others, 0 = always the same one. 1 as
// long as nothing was chosen, and of a single expert.
double load_entropy(const ExpertLoad& load);

// Tokens of the busiest expert over the mean of all; 1 = equal use, and as long as nothing was chosen.
double load_peak(const ExpertLoad& load);

}  // namespace ferrum
