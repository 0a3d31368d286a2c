// ferrum.toml: settings in a file. Tables and keys are the `toml` paths of config/keys.h; types are strict, and nothing
// in the file is ignored. TOML 1.0 (toml.io), parsed by toml++.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "config/settings.h"

namespace ferrum {

// The file to read: `asked` (--config; kNotFound if it is not there), else ./ferrum.toml, else
// $XDG_CONFIG_HOME/ferrum/ferrum.toml (~/.config/... where that is not set), else "".
Result<std::string> find_config_file(const std::string& asked);

// Adds the text's settings with source kConfigFile. kInvalidArgument "NAME:LINE:COLUMN: ...": malformed TOML, an
// unknown table or key (with the nearest one), a wrong type, a value out of range.
Status apply_toml(std::string_view text, const std::string& name, Settings& settings);
// The same of a file of at most 1 MiB.
Status apply_config_file(const std::string& path, Settings& settings);

}  // namespace ferrum
