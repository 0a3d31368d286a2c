// random_gguf: writes a model file with random weights.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/random_gguf/random_model.h"

namespace ferrum {
namespace {

void show(double fraction, const std::string& what) {
  const int filled = static_cast<int>(fraction * 30);
  std::fprintf(stderr, "\r\033[K[%.*s%*s] %s%s", filled, "##############################", 30 - filled, "",
               what.c_str(), fraction >= 1 ? "\n" : "");
  std::fflush(stderr);
}

int run(int argc, char** argv) {
  CLI::App app("Writes a GGUF model with random weights: any shape, any type.");
  std::string shape = "tiny", out;
  RandomModel custom;
  app.add_option("--shape", shape,
                 "tiny, tiny-moe, qwen3-0.6b, llama-3.2-1b, qwen3-30b-a3b, or custom (then the sizes below)");
  app.add_option("--out", out, "File to write")->required();
  app.add_option("--arch", custom.architecture, "llama, qwen2, qwen3, qwen3moe")->capture_default_str();
  app.add_option("--hidden", custom.hidden)->capture_default_str();
  app.add_option("--ffn", custom.ffn)->capture_default_str();
  CLI::Option* layers = app.add_option("--layers", custom.layers, "Layers; also of a shape")->capture_default_str();
  app.add_option("--experts", custom.experts)->capture_default_str();
  app.add_option("--experts-used", custom.experts_used)->capture_default_str();
  app.add_option("--heads", custom.heads)->capture_default_str();
  app.add_option("--kv-heads", custom.kv_heads)->capture_default_str();
  app.add_option("--head-dim", custom.head_dim)->capture_default_str();
  app.add_option("--context", custom.context)->capture_default_str();
  app.add_flag("--tied,!--untied", custom.tied, "Whether the output matrix is the embedding (the default)");
  CLI::Option* vocab = app.add_option("--vocab", custom.vocab, "Tokens; also makes the vocabulary of a shape smaller");
  app.add_option("--type", custom.type, "Type of the matrices, or the mix Q4_K_M")->capture_default_str();
  app.add_option("--seed", custom.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  RandomModel model = custom;
  if (shape != "custom") {
    const Result<RandomModel> named = random_model_shape(shape);
    if (!named.is_ok()) {
      std::fprintf(stderr, "random_gguf: %s\n", named.status().message().c_str());
      return 2;
    }
    model = *named;
    model.type = custom.type;
    if (layers->count() > 0) model.layers = custom.layers;
    model.seed = custom.seed;
  }
  if (vocab->count() > 0 || shape == "custom") {
    model.vocab = custom.vocab;
    model.merges = std::min(shape == "custom" ? custom.vocab : model.merges, custom.vocab);
  }
  if (const Status status = write_random_model(model, out, show); !status.is_ok()) {
    std::fprintf(stderr, "random_gguf: %s\n", status.message().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace ferrum

int main(int argc, char** argv) { return ferrum::run(argc, argv); }
