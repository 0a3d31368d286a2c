// The engine: requests in, events out. The one place that knows all parts; the apps talk to it and to nothing below it.
//
// Threads: submit, cancel, stats and the accessors may be called from any thread. One engine thread (start) or the
// caller (step) runs the steps; event sinks are called from there and must not block or call back into the engine,
// except cancel().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "trace/flight_recorder.h"
#include "types/expert_cache.h"
#include "types/expert_load.h"
#include "types/hidden_states.h"
#include "types/input_text.h"
#include "types/kernel_choice.h"
#include "types/model_spec.h"
#include "types/progress.h"
#include "types/queue_policy.h"
#include "types/sampling.h"
#include "types/speculation.h"

namespace ferrum {

struct EngineOptions {
  std::string backend = "cpu";   // a name of the backend registry
  std::string isa = "auto";      // cpu backend: auto, baseline, avx2, avx512
  int threads = 0;               // 0 = the cores this process may use
  int max_seqs = 16;             // sequences that run at once
  int max_batched_tokens = 512;  // token budget of a step
  int max_waiting = 256;         // requests that may wait; more are refused with kCapacity
  QueuePolicy queue_policy = QueuePolicy::kFcfs;
  int ageing_seconds = 60;  // the head start that one step of priority is worth
  int max_model_len = 0;    // context per sequence; 0 = the model's
  int block_size = 16;      // tokens per KV block
  int64_t kv_blocks = 0;    // 0 = enough for max_seqs x max_model_len within kv_memory_fraction of free memory
  double kv_memory_fraction = 0.5;
  int64_t swap_bytes = 0;  // of host memory for KV blocks that the cache must give up; 0 = they are computed again
  DType kv_dtype = DType::kF16;
  // Of models with experts, cpu backend: rows of a step from which an expert's are gathered; changes no result.
  int expert_batch_threshold = 4;
  int64_t expert_cache_bytes =
      0;  // memory for experts, those beyond it are read when they are needed; 0 = all have a place
  bool expert_load_trace = false;  // say for each layer how its experts are kept
  bool rounded_bf16 = false;       // cpu backend: BF16 weights meet activations rounded to BF16, where the machine can
  bool mmap_only = false;          // cpu backend: compute on the weights as the file has them
  bool parity_gate = true;         // compare each kernel with the reference on a sample of the model before it is used
  // Which prompts a step reads (SchedulerLimits has the meaning); 0 and false = first come first served.
  int active_decode_prefill_chunk = 0;
  int prefill_first_until_active = 0;
  bool whole_prompts = false;
  bool warm_up = false;      // compute a step before load() returns, so that the first request pays for no first time
  bool prefix_cache = true;  // do not compute the KV of a prompt's beginning that is still in the cache
  SpeculationParams speculation;   // of requests that do not say
  std::string draft_model;         // file of the model that guesses for this one; empty = none
  bool measure_guess_cost = true;  // how much is guessed follows from what it costs here
  ProfileChoice profile;           // what is timed inside forward passes
  RecordLimits record;             // how much of the past is remembered
};

struct Request {
  // Token ids, and kNoToken where an input embedding stands instead: one, some or all positions.
  std::vector<TokenId> prompt;
  // Row-major, a row of the model's hidden size for each kNoToken, in order; finite numbers. nullptr = none. Such
  // positions have no id, so penalties do not count them, nobody guesses by them, and prompt_logprobs is refused.
  std::shared_ptr<const std::vector<float>> embeddings;
  // Hidden states of the prompt's positions, with the first event. With hidden_of kAll or kMean nothing of the prompt
  // comes from the cache.
  HiddenStates hidden = HiddenStates::kNone;
  HiddenPositions hidden_of = HiddenPositions::kLast;
  SamplingParams sampling;
  StopParams stop;
  bool prompt_logprobs = false;  // with sampling.logprobs >= 0: also for the prompt's tokens (not the first)
  bool with_special = false;     // control tokens appear in the text
  bool continues_text = false;   // a raw completion: the space that begins its first word belongs to the text
  std::optional<SpeculationParams> speculation;  // absent: the engine's
  // The KV of a text is found only by requests of the same tenant with the same salt.
  std::string tenant;  // whose request it is; tenants share the engine under QueuePolicy::kFair
  std::string cache_salt;
  int priority = 0;                                       // less is earlier; needs a policy that looks at it
  double timeout_seconds = 0, queue_timeout_seconds = 0;  // to its last and to its first step; 0 = no limit
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;  // sampled; an end token counts although no event carries it
  int cached_tokens = 0;      // of the prompt: those whose KV was in the cache
  int drafted_tokens = 0;     // guesses that were verified
  int accepted_tokens = 0;    // of completion_tokens: those that needed no step of their own, because of a right guess
  uint64_t seed = 0;          // of the sampling; the drawn one where the request had none
  // Until the first step that read some of it; from there to the first token; from there to the end.
  double queued_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
};

// What happened to a request in one step. Text is whole UTF-8 characters and never part of a stop string.
struct Event {
  RequestId request = 0;
  std::string text;                        // newly final text; may be empty while a character or stop is undecided
  std::vector<TokenId> tokens;             // newly sampled, without the end token or stop token that ends the answer
  std::vector<PositionLogprobs> logprobs;  // of `tokens`, if asked for
  std::vector<PositionLogprobs> prompt_logprobs;  // once, with the first event, if asked for
  // Likewise: [prompt tokens, hidden size] row-major of kAll, [hidden size] of kLast and kMean.
  std::vector<float> hidden;
  bool finished = false;  // the last event of the request
  FinishReason reason = FinishReason::kNone;
  std::string stop_match;  // the stop string that ended it
  Status error;            // with reasons kError and kTimeout
  Usage usage;             // filled when finished
};
using EventSink = std::function<void(Event)>;

struct GuessCounts {
  uint64_t drafts = 0, drafted_tokens = 0, accepted_tokens = 0;
};

// What the draft model did.
struct DraftWork {
  uint64_t passes = 0, tokens = 0, failures = 0;
  double seconds = 0;
};

struct EngineStats {
  int running = 0, waiting = 0;
  int64_t kv_blocks_total = 0, kv_blocks_used = 0;
  uint64_t steps = 0, requests_finished = 0, preemptions = 0;
  uint64_t prompt_tokens = 0;                        // computed, after a preemption again if its KV is gone
  uint64_t generated_tokens = 0;                     // sampled
  uint64_t drafts = 0;                               // rows that verified guesses
  uint64_t drafted_tokens = 0, accepted_tokens = 0;  // as in Usage
  std::array<GuessCounts, kGuessSources> guesses;    // the same by source, in the order of GuessSource
  DraftWork draft_model;                             // zeros without one
  uint64_t requests_timed_out = 0;                   // of those that finished
  // Prefix cache. A hit is an admission, after a preemption too, that found a part of its text.
  uint64_t prefix_hits = 0, prefix_misses = 0, prefix_evictions = 0;
  uint64_t prefix_queried_tokens = 0;  // that were looked for, in full blocks
  uint64_t prefix_saved_tokens = 0;    // that hits did not compute
  // Blocks that swap space holds, and that were copied there and back.
  int64_t swap_blocks_total = 0, swap_blocks_used = 0;
  uint64_t swapped_out = 0, swapped_in = 0;
  int64_t prefix_entries = 0, prefix_bytes = 0;  // blocks that can be found, and their KV
  std::vector<ExpertLoad> experts;               // by layer; empty for models without experts
  ExpertCacheCounts expert_cache;
};

struct MemoryPlan;  // engine/memory_plan.h
class Gguf;         // io/gguf.h

// Files of an engine's models, open already.
struct ModelFiles {
  std::shared_ptr<const Gguf> target;
  // Of EngineOptions::draft_model, and known to fit (check_draft_model); nullptr = load() opens and checks it.
  std::shared_ptr<const Gguf> draft = nullptr;
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> load(const std::string& model_path, const EngineOptions& options,
                                              const LoadProgress& progress = {});
  static Result<std::unique_ptr<Engine>> load(ModelFiles files, const EngineOptions& options,
                                              const LoadProgress& progress = {});
  virtual ~Engine() = default;  // stops the thread; unfinished requests end with kCancelled

  // Checks everything about the request that can be wrong (kInvalidArgument: empty prompt, prompt longer than the
  // context, token ids out of range, embeddings of another size or not finite, parameters; kCapacity: the queue is full
  // or the engine is draining).
  // Several sinks are several choices, of which all are taken or none: the prompt is read once, choice i draws with
  // seed + i (each its own without a seed), has an id of its own and gives what it would give alone.
  virtual Result<std::vector<RequestId>> submit(Request request, std::vector<EventSink> choices) = 0;
  Result<RequestId> submit(Request request, EventSink sink) {
    FERRUM_ASSIGN_OR_RETURN(const std::vector<RequestId> ids, submit(std::move(request), std::vector{std::move(sink)}));
    return ids.front();
  }
  // kCapacity if submit() would refuse any request now: known before work is put into one, and without waiting for what
  // the engine does, so that those whom an overloaded engine refuses cost it next to nothing.
  virtual Status check_room() const { return Status::ok(); }
  // In how many seconds the queue, if it is full now, will be half empty, by what the engine did lately; 0 = unknown.
  // As cheap.
  virtual double retry_after_seconds() const { return 0; }
  virtual void cancel(RequestId request) = 0;  // its last event has reason kCancelled; unknown ids are ignored

  virtual void start() = 0;         // runs steps on a thread of its own until the engine is destroyed
  virtual void drain() = 0;         // refuses new requests and returns when the running ones have finished
  virtual Result<bool> step() = 0;  // for tests, without start(): one step; false when there was nothing to do

  // Saves the KV of the longest beginning of a text that the prefix cache holds under that cache salt, in whole blocks,
  // and puts it back, so that requests which begin with it need not read it again. Both return the number of tokens.
  // From any thread; running requests wait for the copying, not for the disk. docs/kv-file.md.
  virtual Result<int> save_kv(std::span<const TokenId>, const std::string& /*salt*/, const std::string& /*path*/) {
    return unsupported("this engine's KV cannot be saved");
  }
  virtual Result<int> restore_kv(const std::string& /*path*/, const std::string& /*salt*/) {
    return unsupported("this engine's KV cannot be restored");
  }

  virtual const EngineOptions& options() const = 0;  // as resolved: no zeros that mean "auto"
  virtual const ModelSpec& model() const = 0;
  virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;
  virtual std::shared_ptr<const ChatTemplate> chat_template() const = 0;
  virtual std::string describe() const = 0;  // one line: model, backend, KV
  virtual EngineStats stats() const = 0;
  // What it did lately; nullptr where nothing is recorded (fakes).
  virtual const FlightRecorder* recorder() const { return nullptr; }
  // What it was started with; nullptr if it has none (fakes).
  virtual const MemoryPlan* memory_plan() const { return nullptr; }
  // What the parity gate let pass and what it refused; empty without a gate.
  virtual std::vector<KernelChoice> kernel_choices() const { return {}; }
};

// Lower-level helpers on the same composition (`ferrum perplexity`, `ferrum logits`).
// Logits of every position of one sequence, row-major [tokens.size(), vocab].
Result<std::vector<float>> compute_logits(const std::string& model_path, const EngineOptions& options,
                                          const std::vector<TokenId>& tokens);

}  // namespace ferrum
