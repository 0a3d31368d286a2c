// What the flight recorder knows, in the trace event format that chrome://tracing and Perfetto read.
#pragma once

#include <string>

#include "trace/flight_recorder.h"

namespace ferrum {

// One JSON object. Threads: steps with their phases, operations where they were timed; requests as asynchronous spans;
// counters for rows, waiting requests and KV blocks.
std::string chrome_trace(const FlightRecorder& recorder);

}  // namespace ferrum
