#pragma once

namespace ferrum {

// How the cpu backend keeps quantised weights.
enum class WeightLayout {
  kPanels,  // copied at load into panels for the vector units (panels.h)
  kStored,  // as the file has them, in place: nothing is copied, products are slower
};

}  // namespace ferrum
