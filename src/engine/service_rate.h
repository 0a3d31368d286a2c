// How many requests the engine finishes per second of work, lately: what a client that was refused is told to wait.
#pragma once

namespace ferrum {

class ServiceRate {
 public:
  // A step took `seconds`, and `finished` requests ended with it.
  void add(double seconds, int finished);
  // How long that many requests will take, by what the last half minute of work was like; 0 = nothing is known yet.
  // Where none has finished in that time, as if one were about to.
  double seconds_for(double requests) const;

 private:
  double seconds_ = 0, finished_ = 0;  // both decay, so that their quotient is of late
};

}  // namespace ferrum
