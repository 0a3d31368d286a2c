// How tokens are guessed ahead of the model. Internal to the resolver.
#pragma once

#include "config/recorder.h"
#include "config/resolver.h"

namespace ferrum {

// kInvalidArgument where the n-gram lengths contradict each other, a draft model is wanted that is not there, or the
// one that is there does not fit the target.
Status decide_speculation(const ResolverInput& input, Recorder& record, RunConfig& config);

}  // namespace ferrum
