// How tokens are guessed ahead of the model. Internal to the resolver.
#pragma once

#include "config/recorder.h"
#include "config/resolver.h"

namespace ferrum {

// kInvalidArgument where the n-gram lengths contradict each other.
Status decide_speculation(Recorder& record, RunConfig& config);

}  // namespace ferrum
