// Host, Origin and key checks: what a rebinding page or a foreign origin sends is refused, what local tools send
// passes.
#include "apps/server/access.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

TEST(Access, HostNames) {
  EXPECT_EQ(host_name("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_name("[::1]:8080"), "::1");
  EXPECT_EQ(host_name("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(host_name("[::1"), "");
  EXPECT_EQ(host_name(""), "");
  for (const char* yes : {"localhost", "app.localhost", "127.0.0.1", "127.255.1.2", "::1"}) {
    EXPECT_TRUE(is_loopback_name(yes)) << yes;
  }
  for (const char* no : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.evil.0.1",
                         "notlocalhost", "0.0.0.0", "192.168.0.1", "127.1", "::"}) {
    EXPECT_FALSE(is_loopback_name(no)) << no;
  }
}

TEST(Access, LoopbackServersAnswerLoopbackNamesOnly) {
  const AccessPolicy policy({.loopback = true, .allowed_hosts = {"My.Box"}, .cors_origins = {}, .api_keys = {}});
  EXPECT_TRUE(policy.host_allowed("localhost:8080"));
  EXPECT_TRUE(policy.host_allowed("my.box:1"));
  EXPECT_FALSE(policy.host_allowed("rebound.example:8080"));
  EXPECT_FALSE(policy.host_allowed(""));
  const AccessPolicy open({.loopback = false, .allowed_hosts = {}, .cors_origins = {}, .api_keys = {}});
  EXPECT_TRUE(open.host_allowed("any.example"));
}

TEST(Access, Origins) {
  const AccessPolicy local(
      {.loopback = true, .allowed_hosts = {}, .cors_origins = {"https://app.example"}, .api_keys = {}});
  EXPECT_TRUE(local.origin_allowed("", "localhost"));
  EXPECT_TRUE(local.origin_allowed("http://localhost:3000", "localhost:8080"));
  EXPECT_TRUE(local.origin_allowed("http://[::1]:3000", "localhost:8080"));
  EXPECT_TRUE(local.origin_allowed("https://app.example", "localhost:8080"));
  EXPECT_FALSE(local.origin_allowed("https://app.example.evil", "localhost:8080"));
  EXPECT_FALSE(local.origin_allowed("https://evil.example", "localhost:8080"));
  EXPECT_FALSE(local.origin_allowed("null", "localhost:8080"));
  const AccessPolicy open({.loopback = false, .allowed_hosts = {}, .cors_origins = {}, .api_keys = {}});
  EXPECT_TRUE(open.origin_allowed("http://box.example:8080", "box.example:8080"));
  EXPECT_FALSE(open.origin_allowed("http://localhost:3000", "box.example:8080"));
  const AccessPolicy any({.loopback = false, .allowed_hosts = {}, .cors_origins = {"*"}, .api_keys = {}});
  EXPECT_TRUE(any.origin_allowed("https://evil.example", "box"));
}

TEST(Access, Keys) {
  const AccessPolicy policy(
      {.loopback = true, .allowed_hosts = {}, .cors_origins = {}, .api_keys = {"other", "secret"}});
  EXPECT_TRUE(policy.key_matches("Bearer secret"));
  EXPECT_TRUE(policy.key_matches("bearer secret"));
  EXPECT_EQ(policy.tenant_of("Bearer other"), "key 1");
  EXPECT_EQ(policy.tenant_of("Bearer secret"), "key 2");
  EXPECT_EQ(policy.tenant_of("Bearer nobody's"), "");
  for (const char* no :
       {"", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Bearer Secret", "Basic secret"}) {
    EXPECT_FALSE(policy.key_matches(no)) << no;
  }
  EXPECT_TRUE(AccessPolicy(AccessPolicy::Options()).key_matches(""));
}

}  // namespace
}  // namespace ferrum
