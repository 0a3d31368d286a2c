#include "apps/common/configured.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "trace/chrome_trace.h"

namespace ferrum {
namespace {

constexpr RecordLimits kTraced{.steps = 1 << 16, .requests = 1 << 13};  // some 40 MB at most

Status write_text(const std::string& path, const std::string& text) {
  if (path.empty()) return Status::ok();
  std::FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "wb");
  if (file == nullptr) return io_error("cannot write " + path + ": " + std::strerror(errno));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  const int reason = errno;
  if (file != stdout) std::fclose(file);
  return written ? Status::ok() : io_error("cannot write " + path + ": " + std::strerror(reason));
}

std::string source_text(const Decision& d) {
  return std::string(to_string(d.source)) + (d.source_key ? " (" + *d.source_key + ")" : "");
}

void log_decisions(const RunConfig& run) {
  for (const Decision& d : run.decisions) {
    if (d.source != Source::kDefault) spdlog::info("{} = {}, from {}", d.selection, d.selected, source_text(d));
  }
}

}  // namespace

void record_kernels(const std::vector<KernelChoice>& kernels, RunConfig& run) {
  for (const KernelChoice& choice : kernels) {
    if (choice.rejected.empty()) continue;
    const bool is_dot = choice.kernel.starts_with("dot ");
    const std::string type = is_dot ? choice.kernel.substr(4) : "";
    const auto name_at = [&](const std::string& level) {
      return is_dot ? std::string(dot_variant(type, level)) : level;
    };
    std::string selection = "cpu_kernel_" + (is_dot ? type : choice.kernel);
    std::replace(selection.begin(), selection.end(), ' ', '_');
    auto found = std::find_if(run.decisions.begin(), run.decisions.end(),
                              [&](const Decision& d) { return d.selection == selection; });
    if (found == run.decisions.end()) {
      run.decisions.push_back(
          {selection, "", Source::kHardwareCapability, std::nullopt, {}, {}, {Effect::kPerformance}});
      found = std::prev(run.decisions.end());
    }
    found->selected = name_at(choice.level);
    found->source = Source::kHardwareCapability;
    found->source_key.reset();
    std::erase_if(found->rejected, [&](const RejectedCandidate& r) { return r.value == found->selected; });
    const auto add_candidate = [&](const std::string& name) {
      if (std::find(found->candidates.begin(), found->candidates.end(), name) == found->candidates.end()) {
        found->candidates.push_back(name);
      }
    };
    for (const auto& rejected : choice.rejected) {
      const std::string name = name_at(rejected.level);
      add_candidate(name);
      found->rejected.push_back({name, "fails the parity gate: " + rejected.reason});
    }
    add_candidate(found->selected);
  }
}

Result<ConfiguredEngine> load_configured(const std::string& model_path, const Settings& settings, RunKind kind,
                                         const RecordFiles& files, const LoadProgress& progress) {
  ConfiguredEngine out;
  FERRUM_ASSIGN_OR_RETURN(out.configuration, configure(model_path, settings, kind));
  RunConfig& run = out.configuration.run;
  EngineOptions options = engine_options(run);
  options.warm_up = kind == RunKind::kServing && settings.get_bool("FERRUM_WARM_UP").value_or(true);
  if (!files.trace_file.empty()) {
    // Now, and not after hours of work: can it be written at all?
    FERRUM_RETURN_IF_ERROR(write_text(files.trace_file, files.trace_file == "-" ? "" : "{}\n"));
    options.record = kTraced;
  }
  // The files are read once; the engine keeps them as long as it needs them.
  FERRUM_ASSIGN_OR_RETURN(out.engine, Engine::load(std::move(out.configuration.files), options, progress));
  record_kernels(out.engine->kernel_choices(), run);
  log_decisions(run);
  FERRUM_RETURN_IF_ERROR(write_record(files, out.configuration));
  return out;
}

Result<EngineOptions> resolved_options(const std::string& model_path, const Settings& settings) {
  FERRUM_ASSIGN_OR_RETURN(const Configuration configuration, configure(model_path, settings, RunKind::kSingleUser));
  return engine_options(configuration.run);
}

Status write_record(const RecordFiles& files, const Configuration& configuration) {
  FERRUM_RETURN_IF_ERROR(write_text(files.effective_config,
                                    effective_config_document(configuration.input, configuration.run).dump(2) + "\n"));
  return write_text(files.decision_trace, decision_trace_jsonl(configuration.run));
}

void write_activity(const RecordFiles& files, const Engine& engine) {
  const FlightRecorder* recorder = engine.recorder();
  if (recorder == nullptr) return;
  if (recorder->profile() != nullptr) std::fputs(render(recorder->profile()->tables()).c_str(), stderr);
  if (files.trace_file.empty()) return;
  const Status written = write_text(files.trace_file, chrome_trace(*recorder) + "\n");
  if (!written.is_ok()) spdlog::error("the trace is lost: {}", written.message());
}

nlohmann::ordered_json summary_of(const RunConfig& run) {
  nlohmann::ordered_json summary = nlohmann::ordered_json::object();
  for (const Decision& d : run.decisions) summary[d.selection] = d.selected;
  return summary;
}

std::string render_decisions(const RunConfig& run) {
  size_t name_width = 0, value_width = 0;
  for (const Decision& d : run.decisions) {
    name_width = std::max(name_width, d.selection.size());
    value_width = std::max(value_width, d.selected.size());
  }
  std::string out;
  for (const Decision& d : run.decisions) {
    out += d.selection + std::string(name_width + 2 - d.selection.size(), ' ') + d.selected +
           std::string(value_width + 2 - d.selected.size(), ' ') + source_text(d) + "\n";
    for (const RejectedCandidate& r : d.rejected) {
      out += std::string(name_width + 2, ' ') + "not " + r.value + ": " + r.reason + "\n";
    }
  }
  return out;
}

}  // namespace ferrum
