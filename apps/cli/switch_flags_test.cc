// A switch without a value is on; everything else on the command line stays what it was.
#include "apps/cli/switch_flags.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

using Words = std::vector<std::string>;

Words completed(const Words& words) { return with_switch_values(words, Words{"--mmap-only", "--ignore-eos"}); }

TEST(SwitchFlags, AloneMeansOn) {
  EXPECT_EQ(completed({"run", "--mmap-only", "m.gguf"}), (Words{"run", "--mmap-only=on", "m.gguf"}));
  EXPECT_EQ(completed({"run", "m.gguf", "--mmap-only"}), (Words{"run", "m.gguf", "--mmap-only=on"}));
  EXPECT_EQ(completed({"--mmap-only", "--ignore-eos"}), (Words{"--mmap-only=on", "--ignore-eos=on"}));
}

TEST(SwitchFlags, AValueIsKept) {
  for (const char* value : {"on", "off", "TRUE", "0", "no"}) {
    const Words words = {"run", "--mmap-only", value, "m.gguf"};
    EXPECT_EQ(completed(words), words);
  }
  const Words joined = {"run", "--mmap-only=off", "m.gguf"};
  EXPECT_EQ(completed(joined), joined);
}

TEST(SwitchFlags, OtherWordsAreNotTouched) {
  const Words words = {"run", "-p", "--mmap", "--threads", "2", "--", "--mmap-only"};
  EXPECT_EQ(completed(words), words);
}

}  // namespace
}  // namespace ferrum
