// Expected failures as values. A Status says what went wrong, where, and what the user can do about it; Result<T> is
// either a T or such a Status. Exceptions do not cross a library boundary: code that calls a throwing library catches
// there and returns a Status.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace ferrum {

enum class StatusCode {
  kOk = 0,
  kInvalidArgument,  // the caller's value is wrong; HTTP 400, exit code 2
  kNotFound,         // a file, model, tensor or key does not exist; HTTP 404
  kUnsupported,      // well-formed, but this build or model cannot do it; HTTP 400
  kCorrupt,          // the file's bytes contradict themselves or its format
  kCapacity,         // a limit is reached (KV blocks, queue, memory); may pass later; HTTP 429/503
  kIo,               // the operating system refused: open, read, bind
  kCancelled,        // the client or a shutdown ended it
  kInternal,         // our own bug, caught where it could still be reported
};

// The code's name as printed in messages: "invalid argument", "not found", ...
std::string_view to_string(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok() { return {}; }

  bool is_ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure, seen from further out: "context: message". Ok stays ok.
  Status with_context(std::string_view context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status invalid_argument(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }
inline Status not_found(std::string message) { return {StatusCode::kNotFound, std::move(message)}; }
inline Status unsupported(std::string message) { return {StatusCode::kUnsupported, std::move(message)}; }
inline Status corrupt(std::string message) { return {StatusCode::kCorrupt, std::move(message)}; }
inline Status capacity_exceeded(std::string message) { return {StatusCode::kCapacity, std::move(message)}; }
inline Status io_error(std::string message) { return {StatusCode::kIo, std::move(message)}; }
inline Status cancelled(std::string message) { return {StatusCode::kCancelled, std::move(message)}; }
inline Status internal_error(std::string message) { return {StatusCode::kInternal, std::move(message)}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return invalid_argument(...);` are both what one wants to write.
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {
    FERRUM_CHECK(!status_.is_ok(), "a Result without value needs an error");
  }

  bool is_ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return const_cast<Result*>(this)->checked(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &const_cast<Result*>(this)->checked(); }

 private:
  T& checked() {
    FERRUM_CHECK(value_.has_value(), "value() of a failed Result: " + status_.message());
    return *value_;
  }
  std::optional<T> value_;
  Status status_;
};

}  // namespace ferrum

#define FERRUM_CONCAT_INNER(a, b) a##b
#define FERRUM_CONCAT(a, b) FERRUM_CONCAT_INNER(a, b)

// Returns from the enclosing function when the Status expression fails.
#define FERRUM_RETURN_IF_ERROR(expression)              \
  do {                                                  \
    ::ferrum::Status ferrum_status_ = (expression);     \
    if (!ferrum_status_.is_ok()) return ferrum_status_; \
  } while (false)

// FERRUM_ASSIGN_OR_RETURN(auto file, open(path)): declares or assigns the value, or returns the failure.
#define FERRUM_ASSIGN_OR_RETURN(declaration, expression) \
  FERRUM_ASSIGN_OR_RETURN_INNER(FERRUM_CONCAT(ferrum_result_, __LINE__), declaration, expression)
#define FERRUM_ASSIGN_OR_RETURN_INNER(name, declaration, expression) \
  auto name = (expression);                                          \
  if (!name.is_ok()) return std::move(name).status();                \
  declaration = std::move(name).value()
