// Host code that reads or writes memory of the device is found, as it would be on a GPU.
#include <gtest/gtest.h>

#include <array>

#include "backend/cuda/emulation/device_memory.h"
#include "backend/cuda/emulation/emulated_device.h"

namespace ferrum::cuda {
namespace {

using emulation::DeviceWorks;

TEST(EmulatedDeviceMemory, IsReachedByCopiesAlone) {
  const auto device = make_emulated_device();
  std::array<int, 3> in = {1, 2, 3}, out{};
  const Buffer a = device->allocate(sizeof in).value(), b = device->allocate(sizeof in).value();
  ASSERT_TRUE(device->copy_to_device(a.data(), in.data(), sizeof in).is_ok());
  ASSERT_TRUE(device->copy_on_device(b.data(), a.data(), sizeof in).is_ok());
  ASSERT_TRUE(device->copy_to_host(out.data(), b.data(), sizeof in).is_ok());
  EXPECT_EQ(in, out);
  const DeviceWorks works;
  const DeviceWorks inner;
  const Buffer late = device->allocate(4).value();
  EXPECT_EQ(*static_cast<int*>(late.data()), 0) << "zeroed, and open like the rest";
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(EmulatedDeviceMemoryDeathTest, IsNotReachedByTheHost) {
  const auto device = make_emulated_device();
  const Buffer a = device->allocate(4).value();
  { const DeviceWorks works; }
  auto* const p = static_cast<volatile int*>(a.data());
  EXPECT_DEATH({ [[maybe_unused]] const int read = *p; }, "");
  EXPECT_DEATH({ *p = 1; }, "");
}
#endif

}  // namespace
}  // namespace ferrum::cuda
