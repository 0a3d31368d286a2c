#include "apps/server/access.h"

#include <algorithm>

#include "config/parse.h"

namespace ferrum {

std::string host_name(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    return close == std::string_view::npos ? "" : to_lower(authority.substr(1, close - 1));
  }
  return to_lower(authority.substr(0, authority.find(':')));
}

bool is_loopback_name(std::string_view name) {
  if (name == "localhost" || name.ends_with(".localhost") || name == "::1") return true;
  // 127.0.0.0/8 as four decimal numbers; "127.evil.example" is a name.
  return name.starts_with("127.") && std::count(name.begin(), name.end(), '.') == 3 &&
         name.find_first_not_of("0123456789.") == std::string_view::npos;
}

AccessPolicy::AccessPolicy(Options options) : options_(std::move(options)) {
  for (std::string& host : options_.allowed_hosts) host = to_lower(host);
}

bool AccessPolicy::host_allowed(std::string_view host_header) const {
  if (!options_.loopback) return true;
  const std::string name = host_name(host_header);
  const auto& extra = options_.allowed_hosts;
  return is_loopback_name(name) || std::find(extra.begin(), extra.end(), name) != extra.end();
}

bool AccessPolicy::origin_allowed(std::string_view origin, std::string_view host_header) const {
  if (origin.empty()) return true;
  for (const std::string& allowed : options_.cors_origins) {
    if (allowed == "*" || allowed == origin) return true;
  }
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;  // "null": a sandboxed page or a file
  const std::string_view authority = origin.substr(scheme + 3);
  // A host the server answers to (host_allowed) is its own page's origin.
  if (to_lower(authority) == to_lower(host_header)) return true;
  return options_.loopback && is_loopback_name(host_name(authority));
}

// Looks at all of every key, whatever it finds.
size_t AccessPolicy::find_key(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  const bool scheme = to_lower(authorization.substr(0, kScheme.size())) == kScheme;
  const std::string_view given = scheme ? authorization.substr(kScheme.size()) : std::string_view();
  size_t found = 0;
  for (size_t k = 0; k < options_.api_keys.size(); ++k) {
    const std::string& key = options_.api_keys[k];
    unsigned difference = given.size() == key.size() ? 0 : 1;
    for (size_t i = 0; i < key.size(); ++i) {
      const auto byte = i < given.size() ? static_cast<unsigned char>(given[i]) : 0U;
      difference |= byte ^ static_cast<unsigned char>(key[i]);
    }
    found = difference == 0 ? k + 1 : found;
  }
  return found;
}

std::string AccessPolicy::tenant_of(std::string_view authorization) const {
  const size_t key = find_key(authorization);
  return key == 0 ? "" : "key " + std::to_string(key);
}

}  // namespace ferrum
