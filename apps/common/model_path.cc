#include "apps/common/model_path.h"

#include <algorithm>
#include <filesystem>
#include <regex>
#include <vector>

namespace ferrum {
namespace fs = std::filesystem;

namespace {

constexpr char kExtension[] = ".gguf";

// "-00001-of-00003.gguf" at the end.
bool is_later_part(const std::string& name) {
  static const std::regex part("-([0-9]{5})-of-[0-9]{5}\\.gguf$");
  std::smatch match;
  return std::regex_search(name, match, part) && match[1] != "00001";
}

Result<std::string> only_model_in(const fs::path& directory) {
  std::vector<std::string> models;
  bool checkpoint = false;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (it->path().extension() == ".safetensors" || name == "config.json") checkpoint = true;
    if (it->path().extension() == kExtension && !is_later_part(name)) models.push_back(it->path().string());
  }
  if (error) return io_error("cannot read the directory " + directory.string() + ": " + error.message());
  if (models.size() == 1) return models.front();
  if (models.empty() && checkpoint) {
    return unsupported(directory.string() +
                       " is a Hugging Face checkpoint; reading those comes with a later version. Convert it to GGUF "
                       "(llama.cpp's convert_hf_to_gguf.py does) and give the .gguf file");
  }
  if (models.empty()) {
    return not_found("there is no .gguf file in " + directory.string() + "; give a model file or a directory with one");
  }
  std::sort(models.begin(), models.end());
  return invalid_argument("there are " + std::to_string(models.size()) + " models in " + directory.string() +
                          "; name one of them, for example " + models.front());
}

}  // namespace

Result<std::string> resolve_model_path(const std::string& model) {
  std::error_code error;
  const fs::file_status status = fs::status(model, error);
  if (!fs::exists(status)) {
    return not_found("there is no model at " + model + (error ? " (" + error.message() + ")" : "") +
                     "; give the path of a .gguf file or of a directory with one");
  }
  if (fs::is_directory(status)) return only_model_in(model);
  return model;
}

std::string model_name_of(const std::string& path) {
  static const std::regex suffix("(-[0-9]{5}-of-[0-9]{5})?(\\.gguf)?$");
  return std::regex_replace(fs::path(path).filename().string(), suffix, "", std::regex_constants::format_first_only);
}

}  // namespace ferrum
