// write_reference DIRECTORY: writes configuration.md and schema/ferrum.toml.schema.json there.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "config/reference.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_reference DIRECTORY\n", stderr);
    return 2;
  }
  const std::string directory = argv[1];
  bool good = true;
  const auto write = [&](const std::string& path, const std::string& text) {
    std::ofstream out(path, std::ios::binary);
    out << text;
    out.close();
    if (!out) std::fprintf(stderr, "write_reference: cannot write %s\n", path.c_str());
    good = good && static_cast<bool>(out);
  };
  write(directory + "/configuration.md", ferrum::configuration_markdown());
  write(directory + "/schema/ferrum.toml.schema.json", ferrum::toml_schema().dump(2) + "\n");
  return good ? 0 : 1;
}
