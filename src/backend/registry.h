// The one place that names the backends and makes them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backend/cpu/weight_layout.h"
#include "backend/parity_gate.h"
#include "ops/backend.h"

namespace ferrum {

struct BackendConfig {
  std::string name = "cpu";
  std::string isa = "auto";  // of backend "cpu": "auto" = the best this machine has, or one of isa_choices()
  int threads = 0;           // of backend "cpu": 1..1024; 0 = one per core that this process may run on
  BackendLimits limits;
  WeightLayout layout = WeightLayout::kPanels;  // of backend "cpu"
  // Of backend "cpu", with panels and instruction set avx512: products of BF16 weights by the machine's instruction for
  // them, if it has one, which rounds activations to BF16. Results are then not those of the other levels.
  bool rounded_bf16 = false;
  // Of backend "cpu". With a sample of the model, each kernel is compared with the reference backend before it is used,
  // and one that fails gives way to the next lower instruction set's.
  std::optional<ParitySample> parity = {};
  std::span<const KernelLevel> kernel_levels = {};  // best first; empty = those of this machine. Others are for tests
};

// What backend "cuda" would compute on.
struct CudaDevice {
  std::string name;
  int compute_capability = 0;  // major * 10 + minor
  int multiprocessors = 0;
  int64_t memory_bytes = 0;  // all it has, free or not
};
// Takes nothing of it. kUnsupported, with the reason for which make_backend would refuse.
Result<CudaDevice> find_cuda_device();
// Whether kernels for a CUDA device are in this build.
bool has_cuda_kernels();

// Names make_backend accepts: "reference", "cpu", "cuda"; the last is refused where no CUDA device can be used.
std::span<const std::string_view> backend_names();

// Instruction sets that backend "cpu" can be told to use, slowest first, whether or not this machine has them.
std::span<const std::string_view> isa_choices();

// Whether this machine can run `isa` (one of isa_choices()).
bool isa_available(std::string_view isa);
// What rounded_bf16 means here: "amx_bf16", "avx512_bf16", or "" for nothing.
std::string_view rounded_bf16_instruction();

// Bytes of scratch that a backend so configured holds once it has made a Linear of each of these weights, and Experts
// of each of these.
int64_t scratch_bytes(const BackendConfig& config, std::span<const ConstView> weights,
                      std::span<const ExpertsSpec* const> experts = {});

// Bytes that such a backend copies of this weight when it makes a Linear of it; 0 if it is used where it is.
int64_t copied_bytes(const BackendConfig& config, const ConstView& weight);

// Bytes of device memory that Backend::place() takes for this tensor; 0 if it is used where it is.
int64_t placed_bytes(const BackendConfig& config, const ConstView& tensor);

// Bytes of memory for one of these experts, any of them; 0 if they are used where they are.
int64_t expert_slot_bytes(const BackendConfig& config, const ExpertsSpec& experts);

// kInvalidArgument: unknown name or isa (the message lists the choices), threads or limits out of range.
// kUnsupported: this machine lacks the forced isa, or a CUDA device for "cuda". kInternal: a kernel fails the parity
// gate at every level. kCapacity: no memory for the scratch.
Result<std::unique_ptr<Backend>> make_backend(const BackendConfig& config);

}  // namespace ferrum
