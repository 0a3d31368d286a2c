#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace ferrum {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return invalid_argument("odd");
  return x / 2;
}

Result<int> quarter(int x) {
  FERRUM_ASSIGN_OR_RETURN(int h, half(x));
  FERRUM_ASSIGN_OR_RETURN(h, half(h));
  return h;
}

Status check_half(int x) {
  FERRUM_RETURN_IF_ERROR(half(x).status());
  return Status::ok();
}

TEST(Status, MacrosPassValuesAndFailuresOn) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(quarter(6).status().message(), "odd");
  EXPECT_TRUE(check_half(2).is_ok());
  EXPECT_FALSE(check_half(3).is_ok());
}

TEST(Status, ContextIsPrefixedToFailuresOnly) {
  EXPECT_EQ(invalid_argument("odd").with_context("x").message(), "x: odd");
  EXPECT_TRUE(Status::ok().with_context("x").is_ok());
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(3);
  std::unique_ptr<int> p = std::move(r).value();
  EXPECT_EQ(*p, 3);
}

TEST(ResultDeathTest, ValueOfAFailureIsOurBug) { EXPECT_DEATH((void)half(3).value(), "odd"); }

}  // namespace
}  // namespace ferrum
