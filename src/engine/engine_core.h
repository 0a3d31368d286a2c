// The step loop: requests in, events out, over any StepRunner. Knows no model, file or backend.
//
// Threads and locks as docs/engine.md says: mutex_ guards what is named below; a Sequence belongs to the thread that
// runs the steps once it is in sequences_.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/draft_model.h"
#include "engine/engine.h"
#include "engine/kv_file.h"
#include "engine/request_check.h"
#include "engine/sequence.h"
#include "engine/service_rate.h"
#include "engine/step_runner.h"
#include "engine/swap_space.h"
#include "sched/scheduler.h"
#include "trace/flight_recorder.h"

namespace ferrum {

struct CoreOptions {
  SchedulerLimits scheduler;
  RequestLimits requests;
  int num_blocks = 0;
  int block_size = 16;
  int64_t block_bytes = 0;  // for the statistics
  int window = 0;           // tokens that a position of the model sees; 0 = all
  bool prefix_cache = false;
  SpeculationParams speculation;  // of requests that do not say
  bool measure_costs = false;     // guesses cost what they cost here, and not what they usually do
  RecordLimits record;
  std::shared_ptr<SwapSpace> swap = nullptr;  // for this engine alone; nullptr = what is evicted is lost
  KvIdentity kv = {};                         // of KV that is saved and restored; block_bytes 0 = none is
  std::function<int64_t()> clock = &OpProfile::monotonic_ns;  // nanoseconds, ascending
};

class EngineCore {
 public:
  EngineCore(const CoreOptions& options, std::unique_ptr<StepRunner> runner, std::shared_ptr<const Tokenizer> tokenizer,
             std::shared_ptr<OpProfile> profile = nullptr, std::unique_ptr<DraftModel> draft_model = nullptr);
  ~EngineCore();
  EngineCore(const EngineCore&) = delete;
  EngineCore& operator=(const EngineCore&) = delete;

  // As in Engine.
  Result<std::vector<RequestId>> submit(Request request, std::vector<EventSink> choices);
  Result<RequestId> submit(Request request, EventSink sink);
  Status check_room() const;
  double retry_after_seconds() const { return retry_after_; }
  void cancel(RequestId request);
  // A step of a prompt that nobody asked for and that is in no figure but the load of experts: pages of weights, caches
  // and threads are there afterwards. Before the first submit().
  Status warm_up();
  void start();
  void drain();
  Result<bool> step();
  EngineStats stats() const;
  const FlightRecorder& recorder() const { return recorder_; }
  const CoreOptions& options() const { return options_; }

  // The KV of the longest beginning of a text that the cache holds under that salt, and the way back into the cache.
  // From any thread; the copying happens between two steps. Errors as of Engine::save_kv and restore_kv.
  Result<SavedKv> export_kv(std::span<const TokenId> text, const std::string& salt);
  Status import_kv(const SavedKv& kv, const std::string& salt);

  // Broken invariants of scheduler and allocator; for tests, while no step runs.
  std::vector<std::string> violations() const;

 private:
  struct Step {
    int64_t began = 0;
    std::optional<StepPlan> plan;
    Batch batch;
    std::vector<Sequence*> rows;     // of the plan
    std::vector<Sequence*> touched;  // may have events
    StepRecord record;
    std::vector<RecordedRow> recorded;  // one per row
  };

  void thread_main();
  bool run_step();
  Step begin_step();
  NewSequence entry_of(const Request& request, int length) const;
  void draft(Step& step);
  void forget_drafts(std::span<const KvMove> moves);
  void build(Step& step);
  void apply_cancels(Step& step);
  void apply_deadlines(Step& step);
  void run(Step& step);
  void fail(Step& step, const Status& why);
  void forget_contents();
  void record_rows(Step& step);
  void count_guesses(RecordedRow& row, int new_tokens);
  void guess_on(const Step& step);
  void deliver(const Step& step);
  void forget_finished(const Step& step);
  void deliver_to(Sequence& sequence);
  void shut_down();
  Status between_steps(const std::function<void()>& call);
  void make_visits();
  void publish_room();
  PrefixChain text_chain(const std::string& tenant, const std::string& cache_salt) const;
  std::vector<PrefixHash> chain_of(std::span<const TokenId> text, const std::string& salt) const;

  const CoreOptions options_;
  const std::unique_ptr<StepRunner> runner_;       // step thread
  const std::unique_ptr<DraftModel> draft_model_;  // step thread; nullptr if there is none
  StepCosts costs_;                                // step thread
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const PrefixHash prefix_key_;  // of this process; drawn at random
  SamplerScratch scratch_;       // step thread
  FlightRecorder recorder_;
  std::atomic<RequestId> last_id_{0};
  // What was so when mutex_ was last let go of, for those who must not wait for it.
  enum class Room { kFree, kFull, kClosed };
  std::atomic<Room> room_{Room::kFree};
  std::atomic<double> retry_after_{0};

  mutable std::mutex mutex_;
  std::condition_variable work_;  // something to do, or stop
  std::condition_variable idle_;  // no request is left
  // Guarded by mutex_:
  BlockAllocator kv_;
  Scheduler scheduler_;
  std::unordered_map<RequestId, std::unique_ptr<Sequence>> sequences_;  // until their last event is delivered
  std::vector<RequestId> cancels_;
  struct Visit {
    const std::function<void()>* call;
    std::promise<bool> made;
  };
  std::vector<Visit> visits_;  // what others want to do between two steps
  bool draining_ = false;
  bool stopping_ = false;
  EngineStats stats_;
  ServiceRate rate_;

  std::thread thread_;
};

}  // namespace ferrum
