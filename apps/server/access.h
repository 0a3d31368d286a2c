// Who may talk to the server: DNS rebinding, cross-origin requests and the API key.
//
// A page on the web can make its name resolve to 127.0.0.1 and then send requests to a local server with its own name
// as Host and Origin (GHSA-5jx5-hqx5-2vrj is one such case). A server that listens on a loopback address therefore
// answers only to loopback names, and every server checks the Origin that browsers attach.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ferrum {

// The name of a Host header or authority without port and brackets, in lower case: "[::1]:8080" -> "::1".
std::string host_name(std::string_view authority);
// "localhost", "*.localhost", 127.0.0.0/8, ::1.
bool is_loopback_name(std::string_view name);

class AccessPolicy {
 public:
  struct Options {
    bool loopback = true;                    // the server listens on a loopback address
    std::vector<std::string> allowed_hosts;  // further names a loopback server answers to
    std::vector<std::string> cors_origins;   // "https://app.example", or "*" for any
    std::vector<std::string> api_keys;       // of which a client needs one; empty = none needed
  };
  explicit AccessPolicy(Options options);

  bool host_allowed(std::string_view host_header) const;
  // An absent Origin (not a browser, or same-origin GET) is allowed; loopback pages are; others must be configured.
  // `host_header`: a page that the server itself has served comes from its own host.
  bool origin_allowed(std::string_view origin, std::string_view host_header) const;
  // "Bearer KEY"; compared in time that depends on the configured keys alone.
  bool key_matches(std::string_view authorization) const { return !needs_key() || find_key(authorization) > 0; }
  // Who sent a request: "key 2" for the second key; "" where no key is needed or none matches.
  std::string tenant_of(std::string_view authorization) const;
  bool needs_key() const { return !options_.api_keys.empty(); }

 private:
  size_t find_key(std::string_view authorization) const;  // from 1; 0 = none

  Options options_;
};

}  // namespace ferrum
