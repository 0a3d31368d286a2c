// Which tokens end a generation.
#pragma once

#include <string_view>
#include <vector>

#include "text/string_index.h"
#include "text/tokenizer_spec.h"

namespace ferrum {

// The ids at which generation stops: EOS, EOT and EOM of the metadata, and tokens that published models end a turn
// with, known by their text, because files often name only one of several. Where a converter forgot to mark such a
// token as control, its type in the spec is set right. `by_text` maps every token's text to its id.
std::vector<TokenId> find_end_tokens(const StringIndex& by_text, TokenizerSpec& spec);

}  // namespace ferrum
