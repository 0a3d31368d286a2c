#include "trace/op_profile.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

TEST(OpProfile, OperationsAreSummedByKindOfStepAndOnlyWhereChosen) {
  OpProfile profile({.decode_ops = true});
  const int attention = profile.op("attention"), add = profile.op("add");
  EXPECT_EQ(profile.op("attention"), attention);
  profile.begin_step(true);
  EXPECT_FALSE(profile.active());
  for (int i = 0; i < 2; ++i) {
    profile.begin_step(false);
    ASSERT_TRUE(profile.active());
    profile.add(add, 0, 5);
    profile.add(attention, 5, 105);
  }
  const auto tables = profile.tables();
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_EQ(tables[0].steps, 2u);
  ASSERT_EQ(tables[0].rows.size(), 2u);
  EXPECT_EQ(tables[0].rows[0].name, "attention");  // the most expensive first
  EXPECT_EQ(tables[0].rows[0].nanoseconds, 200);
  EXPECT_EQ(tables[0].rows[1].calls, 2u);
}

TEST(OpProfile, LayersAreSummedInTheirOrder) {
  OpProfile profile({.decode_layers = true});
  const int op = profile.op("add");
  profile.begin_step(false);
  profile.add(op, 0, 1);
  profile.enter_layer(0);
  profile.add(op, 1, 11);
  profile.add(op, 11, 21);
  profile.enter_layer(1);
  profile.add(op, 21, 24);
  const auto table = profile.tables().at(0);
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0].name, "outside");
  EXPECT_EQ(table.rows[1].name, "layer 0");
  EXPECT_EQ(table.rows[1].nanoseconds, 20);
  EXPECT_EQ(table.rows[2].nanoseconds, 3);
  const std::string text = render(profile.tables());
  EXPECT_NE(text.find("decode layers, 1 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("83.3 %"), std::string::npos) << text;
}

TEST(OpProfile, SpansAreTheNewestOnes) {
  OpProfile profile({.prefill_ops = true}, 3);
  const int op = profile.op("embed");
  profile.begin_step(true);
  for (int i = 0; i < 10; ++i) profile.add(op, i, i + 1);
  const auto spans = profile.spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans.front().begin, 7);
}

}  // namespace
}  // namespace ferrum
