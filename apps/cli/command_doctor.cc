// ferrum doctor: what this machine is, what is wrong with it for our purpose, and what limits speed here.
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/cli/cli.h"
#include "apps/server/http_server.h"
#include "config/gpu_probe.h"
#include "config/machine.h"
#include "engine/capabilities.h"
#include "engine/memory.h"

namespace ferrum {
namespace {

struct DoctorFlags {
  bool network = false, bandwidth = false;
};

enum class Verdict { kGood, kNote, kBad };

struct Check {
  std::string name, found, advice;
  Verdict verdict = Verdict::kGood;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

Check check_isa(const Machine& machine, const CpuHost& host) {
  Check c{"instruction set", host.isa.back() + " (" + joined(machine.isa) + "), " + machine.cpu_model, ""};
  if (host.isa.back() == "baseline") {
    c.verdict = Verdict::kBad;
    c.advice =
        "without AVX2 quantised models run several times slower; in a virtual machine, pass the host's CPU through";
  } else if (host.isa.back() == "avx2") {
    c.verdict = Verdict::kNote;
    c.advice = "AVX-512 with VNNI would speed up prompts";
  }
  return c;
}

Check check_cores(const Machine& machine) {
  Check c{"cores",
          std::to_string(machine.physical_cores) + " physical, " + std::to_string(machine.logical_cpus) + " logical, " +
              std::to_string(machine.numa_nodes) + " NUMA node(s)",
          ""};
  if (machine.cgroup_cpus > 0 && machine.cgroup_cpus < machine.physical_cores) {
    char quota[96];
    std::snprintf(quota, sizeof quota, "the container may use %.1f CPUs; more threads than that only wait",
                  machine.cgroup_cpus);
    c.verdict = Verdict::kNote;
    c.advice = quota;
  } else if (machine.numa_nodes > 1) {
    c.verdict = Verdict::kNote;
    c.advice = "weights lie on whichever node first read them; bind the process to one node (numactl -N 0 -m 0)";
  }
  return c;
}

Check check_memory(const Machine& machine) {
  const int64_t free = available_memory().value_or(machine.memory_available);
  Check c{"memory", format_bytes(free) + " free of " + format_bytes(machine.memory_total), ""};
  if (machine.cgroup_memory_limit) c.found += ", cgroup limit " + format_bytes(*machine.cgroup_memory_limit);
  if (free < int64_t{1} << 30) {
    c.verdict = Verdict::kBad;
    c.advice = "less than 1 GiB: end other programs or raise the container's limit";
  }
  return c;
}

Check check_huge_pages(const Machine& machine) {
  const std::string& mode = machine.transparent_huge_pages;
  Check c{"huge pages", mode.empty() ? "unknown" : "transparent: " + mode, ""};
  if (mode == "never") {
    c.verdict = Verdict::kNote;
    c.advice =
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, so that the KV cache needs fewer page walks";
  }
  return c;
}

std::vector<Check> check_gpu() {
  const GpuProbe probe = probe_gpus();
  if (probe.devices.empty()) return {{"GPU", probe.reason.empty() ? "none" : probe.reason, ""}};
  const CudaHost host = cuda_host(probe);
  std::vector<Check> checks;
  for (const GpuDevice& device : probe.devices) {
    const std::string free = device.vram_free ? format_bytes(*device.vram_free) + " free of " : "";
    Check c{"GPU",
            device.name + ", compute capability " + std::to_string(device.compute_major) + "." +
                std::to_string(device.compute_minor) + ", " + std::to_string(device.sm_count) + " SMs, " + free +
                format_bytes(device.vram_total),
            "", Verdict::kNote};
    const bool first = checks.empty();
    c.advice = !first                ? "not used: only the first is; CUDA_VISIBLE_DEVICES says which that is"
               : host.reason.empty() ? "used with --backend cuda, whose kernels are not proved on a GPU yet"
                                     : "not used: " + host.reason;
    checks.push_back(std::move(c));
  }
  checks.push_back(
      {"GPU driver",
       (probe.driver_version.empty() ? "version unknown" : probe.driver_version) + ", CUDA " + probe.cuda_version, ""});
  return checks;
}

Check check_port(const Settings& settings) {
  HttpServerOptions http;
  http.host = settings.get_text("FERRUM_HOST").value_or(http.host);
  http.port = static_cast<uint16_t>(settings.get_int("FERRUM_PORT").value_or(http.port));
  Check c{"port", http.host + ":" + std::to_string(http.port) + " is free", ""};
  const auto server = HttpServer::bind(http);
  if (!server.is_ok()) {
    c.verdict = Verdict::kBad;
    c.found = server.status().message();
    c.advice = "give `ferrum serve` another --port";
  }
  return c;
}

// Only with --network: nothing here talks to anybody unasked.
Check check_hub() {
  Check c{"hub", "huggingface.co answers on port 443", ""};
  const auto failed = [&c](const std::string& why) {
    c.verdict = Verdict::kNote;
    c.found = "huggingface.co: " + why;
    c.advice = "models cannot be downloaded from here; files that are here already work";
    return c;
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo("huggingface.co", "443", &hints, &found); error != 0) {
    return failed(gai_strerror(error));
  }
  std::string why = "no address";
  bool reached = false;
  for (const addrinfo* a = found; a != nullptr && !reached; a = a->ai_next) {
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    int error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd wait{fd, POLLOUT, 0};
      socklen_t size = sizeof error;
      if (poll(&wait, 1, 3000) != 1) {
        error = ETIMEDOUT;
      } else {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
    close(fd);
    reached = error == 0;
    why = std::strerror(error);
  }
  freeaddrinfo(found);
  return reached ? c : failed(why);
}

// Every token reads all weights once: bandwidth over size is the ceiling of one sequence.
Check check_bandwidth(const Machine& machine) {
  const double bytes = measure_read_bandwidth(machine.compute_threads(), bandwidth_buffer(machine, available_memory()));
  char text[160];
  std::snprintf(text, sizeof text, "%.1f GB/s with %d threads: at most %.0f tokens/s per GB of weights, one sequence",
                bytes / 1e9, machine.compute_threads(), bytes / 1e9);
  return {"memory bandwidth", text, "smaller quantisation raises this ceiling; more sequences share each read"};
}

Check limit_of_speed(const Machine& machine, const CpuHost& host) {
  Check c{"what limits speed", "", ""};
  if (host.isa.back() == "baseline") {
    c.found = "arithmetic: this processor's vectors are narrow";
  } else if (machine.compute_threads() <= 2) {
    c.found =
        "the few cores (" + std::to_string(machine.compute_threads()) + ") for prompts, memory bandwidth for answers";
  } else {
    c.found = "memory bandwidth for answers of one sequence; arithmetic for prompts and many sequences";
  }
  return c;
}

void print(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& c : checks) width = std::max(width, c.name.size());
  std::string out;
  for (const Check& c : checks) {
    const char* mark = c.verdict == Verdict::kGood ? "ok  " : c.verdict == Verdict::kNote ? "note" : "BAD ";
    out += std::string(mark) + "  " + c.name + std::string(width + 2 - c.name.size(), ' ') + c.found + "\n";
    if (!c.advice.empty()) out += std::string(width + 8, ' ') + c.advice + "\n";
  }
  write_out(out);
}

int doctor_command(const DoctorFlags& flags, const Settings& settings) {
  const Machine machine = probe_machine();
  const CpuHost host = cpu_host();
  std::vector<Check> checks = {check_isa(machine, host), check_cores(machine), check_memory(machine),
                               check_huge_pages(machine)};
  for (Check& c : check_gpu()) checks.push_back(std::move(c));
  checks.push_back({"build", FERRUM_BUILD_INFO, ""});
  checks.push_back(check_port(settings));
  if (flags.network) {
    checks.push_back(check_hub());
  } else {
    checks.push_back({"hub", "not asked (--network)", ""});
  }
  if (flags.bandwidth) checks.push_back(check_bandwidth(machine));
  checks.push_back(limit_of_speed(machine, host));
  print(checks);
  const bool bad = std::any_of(checks.begin(), checks.end(), [](const Check& c) { return c.verdict == Verdict::kBad; });
  return bad ? kExitFailure : kExitOk;
}

}  // namespace

void add_doctor_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = app.add_subcommand("doctor", "Check this machine, and say what limits speed on it");
  command->add_flag("--network", flags->network, "Also whether the model hub can be reached");
  command->add_flag("--bandwidth", flags->bandwidth, "Also measure the memory bandwidth");
  add_setting_flags(*command, invocation, {KeyScope::kServer});
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return doctor_command(*flags, settings); };
  });
}

}  // namespace ferrum
